"""Search hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence

from nn_train.config.cli import Arguments, run_job
from nn_train.errors import EXIT_DONE

FLAGS = {"dry_run": "only say what would be run, and what it would cost"}


def main(argv: Sequence[str]) -> int:
    description = "Search the hyperparameters of a Keras model with Ray Tune."
    return run_job(description, argv, run, stages=("search",), flags=FLAGS)


def run(arguments: Arguments) -> int:
    from nn_train.jobs import calls

    if "dry_run" not in arguments.flags:
        calls.tune(arguments.config, verbose=arguments.verbose)
        return EXIT_DONE
    from nn_train.search import plan
    from nn_train.search.progress import Progress

    Progress(arguments.config).announce()
    print("\n".join(plan(arguments.config, verbose=arguments.verbose)))
    return EXIT_DONE
