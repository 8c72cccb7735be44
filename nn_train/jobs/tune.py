"""Search hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence

from nn_train.config.cli import Arguments, run_job

FLAGS = {"dry_run": "only say what would be run, and what it would cost"}


def main(argv: Sequence[str]) -> int:
    description = "Search the hyperparameters of a Keras model with Ray Tune."
    return run_job(description, argv, run, stages=("search",), flags=FLAGS)


def run(arguments: Arguments) -> int:
    from nn_train.search import plan, search
    from nn_train.search.progress import Progress

    progress = Progress(arguments.config)
    progress.announce()
    if "dry_run" in arguments.flags:
        print("\n".join(plan(arguments.config, verbose=arguments.verbose)))
        return 0
    progress.finish(search(arguments.config, on_event=progress, verbose=arguments.verbose))
    return 0
