"""From nothing to a report."""

from __future__ import annotations

from collections.abc import Sequence

from nn_train.config.cli import Arguments, run_job

FLAGS = {"quick": "smaller budgets: what pipeline.quick of the job file says"}


def main(argv: Sequence[str]) -> int:
    description = "Search, train with the best settings, evaluate and report, all in one job."
    return run_job(description, argv, run, stages=("search", "pipeline"), flags=FLAGS)


def run(arguments: Arguments) -> int:
    from nn_train.pipeline import run_pipeline
    from nn_train.pipeline.progress import Progress

    progress = Progress()
    quick = "quick" in arguments.flags
    result = run_pipeline(arguments.config, arguments.overrides, quick, on_event=progress, verbose=arguments.verbose)
    progress.finish(result)
    return 0
