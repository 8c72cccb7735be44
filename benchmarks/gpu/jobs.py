"""Jobs, started as a user starts them, each in a process group of its own that ends with the deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.gpu.machine import cards
from benchmarks.gpu.rows import CheckError, Deadline, NotRunError

LEAST = 15.0  # seconds within which nothing can begin and end
JOB_WITHIN = 150.0  # seconds; a job takes 15 to 40, and one that hangs leaves time for the others
GRACE = 10.0  # seconds in which an interrupted job may end by itself
LAST_LINES = 60
LOOK_EVERY = 0.02  # seconds
NO_TIME = "no time left"


class Jobs:
    """Starts jobs, and keeps what they print in ``folder``.

    Args:
        choose_cards: whether a job is told how many cards to see; else it sees what is there.
    """

    def __init__(self, folder: Path, deadline: Deadline, choose_cards: bool) -> None:
        self.folder, self.deadline, self.choose_cards = folder, deadline, choose_cards

    def job(self, name: str, *command: str, cards: int = 1, environment: Mapping[str, str] | None = None) -> list[str]:
        """Run a job to its end; returns what it printed.

        Args:
            name: of the job, and of the file with its output.
            command: the arguments of Python.
            cards: how many it may see, at most.
            environment: what it finds there besides.

        Raises:
            CheckError: it ended with another exit code than 0, or did not within ``JOB_WITHIN``.
            NotRunError: there is no time for it, or no more.
        """
        with self.started(name, *command, cards=cards, environment=environment) as process:
            self.wait(name, lambda: process.poll() is not None)
        if process.returncode:
            raise CheckError(f"{name} ended with code {process.returncode}", self.said(name)[-LAST_LINES:])
        return self.said(name)

    def killed(self, name: str, *command: str, when: Callable[[], bool], environment: Mapping[str, str]) -> None:
        """Start a job and kill it once ``when`` is true. CheckError where it ended before; else as ``job``."""
        with self.started(name, *command, cards=1, environment=environment) as process:
            self.wait(name, lambda: when() or process.poll() is not None)
            if process.poll() is not None:
                raise CheckError(f"{name} ended before it could be killed", self.said(name)[-LAST_LINES:])
            os.killpg(process.pid, signal.SIGKILL)

    def wait(self, name: str, done: Callable[[], bool]) -> None:
        """Until it is done. CheckError after ``JOB_WITHIN``, NotRunError after the deadline."""
        began = time.monotonic()
        while not done():
            if not self.deadline.left():
                seconds = time.monotonic() - began
                raise NotRunError(f"{NO_TIME}: {name} was ended after {seconds:.0f} s", self.said(name)[-LAST_LINES:])
            if time.monotonic() - began > JOB_WITHIN:
                raise CheckError(f"{name} did not end within {JOB_WITHIN:g} s", self.said(name)[-LAST_LINES:])
            time.sleep(LOOK_EVERY)

    @contextlib.contextmanager
    def started(
        self, name: str, *command: str, cards: int, environment: Mapping[str, str] | None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A job, which is ended where it has not when the block ends. NotRunError where there is no time for one."""
        if self.deadline.left() < LEAST:
            raise NotRunError(NO_TIME)
        variables = {**self.environment(cards), **(environment or {})}
        with open(self.output(name), "wb") as file:
            process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=variables,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            end(process)

    def environment(self, count: int) -> dict[str, str]:
        """Without a cluster to join, and with no more cards than ``count``."""
        found = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        if self.choose_cards:
            found["CUDA_VISIBLE_DEVICES"] = ",".join(cards(count, found.get("CUDA_VISIBLE_DEVICES")))
        return found

    def output(self, name: str) -> Path:
        return self.folder / f"{name}.txt"

    def said(self, name: str) -> list[str]:
        """The lines that a job has printed."""
        return self.output(name).read_text(errors="replace").splitlines()


def end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a job's process group where it has not ended, and kill what is left of it, such as Ray's agents."""
    try:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=GRACE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):  # nothing is
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
