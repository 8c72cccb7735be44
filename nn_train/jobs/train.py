"""Train one model."""

from __future__ import annotations

from collections.abc import Sequence

from nn_train.config.cli import Arguments, run_job


def main(argv: Sequence[str]) -> int:
    return run_job("Train a Keras model with MultiWorkerMirroredStrategy on Ray.", argv, run)


def run(arguments: Arguments) -> int:
    from nn_train.training import train
    from nn_train.training.progress import Progress

    progress = Progress(arguments.config)
    progress.announce()
    progress.finish(train(arguments.config, on_event=progress, verbose=arguments.verbose))
    return 0
