"""Processes that are asked, one line at a time, and answer each with a line of numbers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

Command = tuple[Sequence[str], Mapping[str, str]]  # what is run, and what it needs in its environment
Ask = Callable[[str], list[list[float]]]


@contextlib.contextmanager
def asked(name: str, commands: Sequence[Command]) -> Iterator[Ask]:
    """Run the commands side by side; yields what asks all at once and returns the numbers of each.

    Raises:
        SystemExit: one ended without an answer; what they wrote to their standard errors is told, after ``name``.
    """
    processes: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryFile("w+") as log, contextlib.ExitStack() as stack:
        for command, needs in commands:
            pipe = subprocess.PIPE
            environment = {**os.environ, **needs}
            process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=log, text=True)
            processes.append(stack.enter_context(process))
            stack.callback(process.kill)

        def ask(question: str) -> list[list[float]]:
            for process in processes:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):  # it has ended: its answer says so
                    os.write(process.stdin.fileno(), f"{question}\n".encode())  # unbuffered: nothing is left to close
            return [answer(name, process, log) for process in processes]

        yield ask


def answer(name: str, process: subprocess.Popen[str], log: IO[str]) -> list[float]:
    """What a process says next."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        log.seek(0)
        raise SystemExit(f"{name} failed:\n{log.read()[-3000:]}")
    return [float(word) for word in line.split()]
