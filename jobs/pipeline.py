"""From nothing to a report: ``python -m jobs.pipeline --config jobs/configs/mnist.yaml``."""

from __future__ import annotations

import sys

from nn_train.config.cli import Arguments, run_job

FLAGS = {"quick": "smaller budgets: what pipeline.quick of the job file says"}


def main(arguments: Arguments) -> int:
    from nn_train.pipeline import run_pipeline
    from nn_train.pipeline.progress import Progress

    progress = Progress()
    quick = "quick" in arguments.flags
    result = run_pipeline(arguments.config, arguments.overrides, quick, on_event=progress, verbose=arguments.verbose)
    progress.finish(result)
    return 0


if __name__ == "__main__":
    description = "Search, train with the best settings, evaluate and report, all in one job."
    sys.exit(run_job(description, sys.argv[1:], main, stages=("search", "pipeline"), flags=FLAGS))
