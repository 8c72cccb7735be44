"""Check the place that jobs run in: ``python -m jobs.doctor --run.storage_path s3://bucket/results``."""

from __future__ import annotations

import sys

from nn_train.config.cli import Arguments, run_job
from nn_train.errors import EXIT_DONE, EXIT_FAILED


def main(arguments: Arguments) -> int:
    from nn_train.doctor import examine
    from nn_train.doctor.findings import FAILED, table

    findings = examine(arguments.config, verbose=arguments.verbose)
    print(table(findings))
    return EXIT_FAILED if any(one.result == FAILED for one in findings) else EXIT_DONE


if __name__ == "__main__":
    description = "Check the place that a job with these settings would run in, and say what to do about what is wrong."
    sys.exit(run_job(description, sys.argv[1:], main, stages=("search", "pipeline")))
