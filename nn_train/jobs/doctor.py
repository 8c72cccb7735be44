"""Check the place that jobs run in."""

from __future__ import annotations

from collections.abc import Sequence

from nn_train.config.cli import Arguments, run_job
from nn_train.errors import EXIT_DONE, EXIT_FAILED


def main(argv: Sequence[str]) -> int:
    description = "Check the place that a job with these settings would run in, and say what to do about what is wrong."
    return run_job(description, argv, run, stages=("search", "pipeline"))


def run(arguments: Arguments) -> int:
    from nn_train.doctor import examine
    from nn_train.doctor.findings import FAILED, table

    findings = examine(arguments.config, verbose=arguments.verbose)
    print(table(findings))
    return EXIT_FAILED if any(one.result == FAILED for one in findings) else EXIT_DONE
