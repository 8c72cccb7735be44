"""Run a job on a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from nn_train.config.cli import command_of, exit_code
from nn_train.config.options import nearest
from nn_train.errors import EXIT_DONE, RequestError

JOBS = ("train", "tune", "evaluate", "predict", "pipeline", "doctor")
HELP = """Run a job on the Ray cluster whose job server RAY_API_SERVER_ADDRESS names (http://HEAD:8265).

  {command} JOB [OPTION ...]

JOB is one of {jobs}; its options are those it has here. This folder is copied to the cluster without what .gitignore
names, .venv and results, and with it this version of nn_train; TensorFlow, Ray and the other packages must be there.
The job's lines are shown here, its exit code is that of this command. Ctrl-C stops the job; the same command goes on
with an unfinished run. Where the cluster wants a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH or
RAY_AUTH_TOKEN."""


def main(argv: Sequence[str]) -> int:
    return exit_code(lambda: run(argv))


def run(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("--help", "-h"):
        print(HELP.format(command=command_of("submit"), jobs=", ".join(JOBS)))
        return EXIT_DONE
    job, *options = argv
    if job not in JOBS:
        raise RequestError(f"{job!r}: is no job; known: {', '.join(JOBS)}{nearest(job, JOBS)}")
    from nn_train.ray_cluster.submission import submit

    return submit(job, options)
