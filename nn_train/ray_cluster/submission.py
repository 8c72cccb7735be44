"""Runs a job on a cluster as if it ran here: its lines, its exit code, and Ctrl-C. By way of Ray's job server."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_train.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, RequestError, TrainingError, first_line

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

ADDRESS = "RAY_API_SERVER_ADDRESS"
PACKAGE = Path(__file__).parents[1]
SETTLE_WITHIN = 60.0  # seconds from the last line of a job to its exit code
# Nothing that a cluster needs; .git, .venv, __pycache__ and what .gitignore names stay here in any case.
LEFT_HERE = ["/results/", "/mlruns/", "*.egg-info/"]
# The job is interrupted as by Ctrl-C, and has as long to say how to go on; Ray's own are SIGTERM and 3 seconds.
STOP = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "30"}


def submit(job: str, options: Sequence[str]) -> int:
    """Run a job in a copy of this folder on the cluster, and follow it to its end.

    This package goes along, unless the folder has it: the job is done by the version that it was asked of.

    Args:
        job: a module of ``nn_train.jobs``.
        options: of its command line.

    Returns:
        The exit code of the job; 130 when it was stopped, 1 when it ended without one.

    Raises:
        RequestError: there is no such cluster, or it does not take the job.
        TrainingError: the connection was lost; the job goes on.
    """
    client = connect()
    environment: dict[str, Any] = {"working_dir": ".", "excludes": LEFT_HERE, "env_vars": STOP}
    if not Path(PACKAGE.name, "jobs", "__main__.py").is_file():
        environment["py_modules"] = [str(PACKAGE)]
    words = ["python", "-m", "nn_train.jobs", job, *options]
    try:
        name = client.submit_job(entrypoint=shlex.join(words), runtime_env=environment)
    except (RuntimeError, ValueError) as error:
        raise RequestError(f"the cluster does not take the job: {first_line(error)}") from error
    print(f"submitted as {name}; Ctrl-C stops it", file=sys.stderr, flush=True)
    try:
        asyncio.run(follow(client, name))
        return end_of(client, name)
    except (RuntimeError, OSError) as error:
        raise TrainingError(
            f"lost the connection ({first_line(error)}); the job goes on: see ray job logs --follow {name}, or end "
            f"it by ray job stop {name}"
        ) from error


def connect() -> Any:
    """A client of the job server that the environment names; the token comes from there as well."""
    address = os.environ.get(ADDRESS, "")
    if "://" not in address:
        raise RequestError(f"{ADDRESS}: {address or 'is not set'}; set it to the cluster's, such as http://HEAD:8265")
    import ray
    from ray.job_submission import JobSubmissionClient

    logging.disable(logging.WARNING)  # that .git is not copied, and that a connection was closed at the end
    try:
        return JobSubmissionClient(address)
    except ray.exceptions.AuthenticationError as error:
        raise RequestError(
            f"{ADDRESS}: {address} refuses the token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH (or "
            "RAY_AUTH_TOKEN) to the token of the cluster's head"
        ) from error
    except (OSError, RuntimeError) as error:
        raise RequestError(f"{ADDRESS}: no Ray answers at {address} ({first_line(error)})") from error


async def follow(client: JobSubmissionClient, job: str) -> None:
    """Print what the job prints until it ends. The first Ctrl-C stops the job, the second one only this process."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        print(f"\nstopping {job}", file=sys.stderr, flush=True)
        try:
            client.stop_job(job)
        except (RuntimeError, OSError) as error:
            print(f"it was not stopped ({first_line(error)}); try: ray job stop {job}", file=sys.stderr, flush=True)

    loop.add_signal_handler(signal.SIGINT, stop)
    async for text in client.tail_job_logs(job):
        print(text, end="", flush=True)


def end_of(client: JobSubmissionClient, job: str) -> int:
    """The exit code of a job that has said its last line."""
    give_up = time.monotonic() + SETTLE_WITHIN
    while not (info := client.get_job_info(job)).status.is_terminal() and time.monotonic() < give_up:
        time.sleep(0.1)
    if not info.status.is_terminal():
        raise RuntimeError(f"it is {info.status} and says no more")  # as for a connection that was lost
    if info.status == "SUCCEEDED":
        return EXIT_DONE
    if info.status == "STOPPED":
        print("stopped; a run that was not finished goes on with the same command", file=sys.stderr)
        return EXIT_INTERRUPTED
    if info.driver_exit_code is None:
        print(f"error: the job did not start: {info.message}", file=sys.stderr)
    return info.driver_exit_code if (info.driver_exit_code or 0) > 0 else EXIT_FAILED
