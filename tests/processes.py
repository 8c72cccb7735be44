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

from nn_train.training.addresses import free_addresses, tf_config

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}  # as the kernel has it
TIMEOUT = 300  # seconds; a hang is a failure, not a wait for ever


def run_workers(size: int, out: Path, script: Path, host: str = "127.0.0.1") -> None:
    """Run ``script RANK SIZE OUT`` as ``size`` processes of one strategy; raise with the log of a failed one."""
    out.mkdir(parents=True, exist_ok=True)
    addresses = free_addresses(host, size)
    logs = [(out / f"worker-{rank}.log").open("w+") for rank in range(size)]
    processes = []
    for rank, log in enumerate(logs):
        environment = {**os.environ, "TF_CONFIG": tf_config(addresses, rank), "TF_CPP_MIN_LOG_LEVEL": "2"}
        environment["PYTHONPATH"] = os.pathsep.join(str(path) for path in (script.parent.parent, script.parent))
        command = [sys.executable, str(script), str(rank), str(size), str(out)]
        processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
    try:
        codes = wait_for_all(processes)
    finally:
        for process in processes:
            process.kill()
    failed = [rank for rank, code in enumerate(codes) if code != 0]
    if failed:
        logs[failed[0]].seek(0)
        raise AssertionError(f"worker {failed[0]} of {size} failed:\n{logs[failed[0]].read()[-5000:]}")


def wait_for_all(processes: list[subprocess.Popen[bytes]]) -> list[int]:
    """The exit codes; when one process fails the others, which would wait for it, are ended."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        codes = [process.poll() for process in processes]
        if any(codes):
            return [code or 0 for code in codes]
        if None not in codes:
            return [0 for _ in codes]
        select.select([], [], [], 0.05)
    raise AssertionError(f"the workers did not end within {TIMEOUT} s")


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
