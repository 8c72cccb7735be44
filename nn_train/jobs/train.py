"""Train one model."""

from __future__ import annotations

from collections.abc import Sequence

from nn_train.config.cli import Arguments, run_job
from nn_train.errors import EXIT_DONE


def main(argv: Sequence[str]) -> int:
    return run_job("Train a Keras model with MultiWorkerMirroredStrategy on Ray.", argv, run)


def run(arguments: Arguments) -> int:
    from nn_train.jobs import calls

    calls.train(arguments.config, verbose=arguments.verbose)
    return EXIT_DONE
