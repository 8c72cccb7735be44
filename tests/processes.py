"""Real worker processes under a real MultiWorkerMirroredStrategy, without Ray; and where processes listen."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nn_train.engine.addresses import free_addresses, tf_config

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}  # as the kernel has it
TIMEOUT = 200  # seconds, less than the limit of a test; a hang is a failure, not a wait for ever


def start_workers(size: int, out: Path, script: Path, host: str, **popen: Any) -> list[subprocess.Popen[bytes]]:
    """Start ``script RANK SIZE OUT`` as ``size`` processes of one strategy; each has its log in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    addresses = free_addresses(host, size)
    processes = []
    for rank in range(size):
        environment = {**os.environ, "TF_CONFIG": tf_config(addresses, rank), "TF_CPP_MIN_LOG_LEVEL": "2"}
        here = Path(__file__).parent
        folders = (here.parent, script.parent, here)  # the last counts them: tiers.py
        environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
        command = [sys.executable, str(script), str(rank), str(size), str(out)]
        with log_of(out, rank).open("wb") as log:
            streams = {"stdout": log, "stderr": log, **popen}
            processes.append(subprocess.Popen(command, env=environment, **streams))
    return processes


def log_of(out: Path, rank: int) -> Path:
    return out / f"worker-{rank}.log"


def run_workers(size: int, out: Path, script: Path, host: str = "127.0.0.1", timeout: float = TIMEOUT) -> None:
    """Start workers and wait until they have ended; raise with the log of a failed one."""
    processes = start_workers(size, out, script, host)
    try:
        codes = wait_for_all(processes, timeout)
    finally:
        for process in processes:
            process.kill()
    failed = [rank for rank, code in enumerate(codes) if code != 0]
    if failed:
        raise AssertionError(f"worker {failed[0]} of {size} failed:\n{log_of(out, failed[0]).read_text()[-5000:]}")


class WorkerGroup:
    """The processes of one strategy, which do one task after another: those that are asked for, in that order.

    ``script`` reads names of tasks from its standard input, and answers each with a line on its standard output.
    """

    def __init__(self, size: int, out: Path, script: Path) -> None:
        self.out = out
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.processes = start_workers(size, out, script, "127.0.0.1", **pipes)
        self.done: set[str] = set()
        self.broken = ""  # the task that did not end

    def ensure(self, task: str) -> None:
        """Return once every process has done it."""
        if task in self.done:
            return
        assert not self.broken, f"{self.broken} has not ended; these workers are not asked again"
        self.broken = task
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{task}\n".encode())
            process.stdin.flush()
        waiting = dict(enumerate(self.processes))
        deadline = time.monotonic() + TIMEOUT
        while waiting:
            streams = {process.stdout: rank for rank, process in waiting.items()}
            ready, _, _ = select.select(list(streams), [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"{task}: the workers did not end within {TIMEOUT} s")
            for stream in ready:
                rank = streams[stream]
                if stream.readline() != f"{task}\n".encode():
                    raise AssertionError(f"{task}: worker {rank} failed:\n{log_of(self.out, rank).read_text()[-5000:]}")
                del waiting[rank]
        self.broken = ""
        self.done.add(task)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


def wait_for_all(processes: list[subprocess.Popen[bytes]], timeout: float = TIMEOUT) -> list[int]:
    """The exit codes; when one process fails the others, which would wait for it, are ended."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        codes = [process.poll() for process in processes]
        if any(codes):
            return [code or 0 for code in codes]
        if None not in codes:
            return [0 for _ in codes]
        select.select([], [], [], 0.05)
    raise AssertionError(f"the workers did not end within {timeout:.0f} s")


def listening(pids: Iterable[int]) -> set[str]:
    """The addresses, as the kernel writes them, on which processes listen with TCP."""
    inodes = set()
    for number in pids:
        with contextlib.suppress(OSError):  # it ended
            for descriptor in Path(f"/proc/{number}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(descriptor.readlink().name)
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add(fields[1].split(":")[0])
    return found
