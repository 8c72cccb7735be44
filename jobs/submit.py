"""Run a job on a cluster: ``python -m jobs.submit train --config jobs/configs/mnist_cnn.yaml``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from nn_train.config.cli import exit_code
from nn_train.errors import EXIT_DONE, RequestError

JOBS = ("train", "tune", "evaluate", "predict", "pipeline", "doctor")
HELP = f"""Run a job on the Ray cluster whose job server RAY_API_SERVER_ADDRESS names (http://HEAD:8265).

  python -m jobs.submit JOB [OPTION ...]

JOB is one of {", ".join(JOBS)}; its options are those of python -m jobs.JOB. This folder is copied to the cluster
without what .gitignore names, .venv and results. The job's lines are shown here, its exit code is that of this command.
Ctrl-C stops the job; the same command goes on with an unfinished run. Where the cluster wants a token, set
RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN."""


def main(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("--help", "-h"):
        print(HELP)
        return EXIT_DONE
    job, *options = argv
    if job not in JOBS:
        raise RequestError(f"{job!r}: is no job; known: {', '.join(JOBS)}")
    from nn_train.ray_cluster.submission import submit

    return submit([f"jobs.{job}", *options])


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
