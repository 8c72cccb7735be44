"""Train one model: ``python -m jobs.train --config jobs/configs/mnist_cnn.yaml --train.epochs 3``."""

from __future__ import annotations

import sys

from nn_train.config.cli import Arguments, run_job


def main(arguments: Arguments) -> int:
    from nn_train.training import train
    from nn_train.training.progress import Progress

    progress = Progress(arguments.config)
    progress.announce()
    progress.finish(train(arguments.config, on_event=progress, verbose=arguments.verbose))
    return 0


if __name__ == "__main__":
    sys.exit(run_job("Train a Keras model with MultiWorkerMirroredStrategy on Ray.", sys.argv[1:], main))
