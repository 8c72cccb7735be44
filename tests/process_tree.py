"""A process and those it has started: which there are, what they cost, where they stand. Linux."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # per second, of the times in /proc/PID/stat
DUMP_WITHIN, ALL_WITHIN = 20, 60  # seconds: for the stacks of one process, and of all


def tree_of(pid: int) -> list[int]:
    """``pid`` and all below it."""
    found, new = [], [pid]
    while new:
        found.append(new.pop())
        with contextlib.suppress(OSError):  # it ended, perhaps while it is looked at
            for task in Path(f"/proc/{found[-1]}/task").glob("*/children"):
                new += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pids: list[int]) -> dict[int, float]:
    """Processor time of each process."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = (int(fields[11]) + int(fields[12])) / TICKS  # user and system
    return found


def stacks(pids: list[int]) -> str:
    """Where the threads of each Python process stand."""
    py_spy = Path(sys.executable).with_name("py-spy")
    texts, deadline = [], time.monotonic() + ALL_WITHIN
    for pid in pids:
        if time.monotonic() > deadline:
            texts.append(f"and more processes: {pids[pids.index(pid) :]}")
            break
        try:
            command = [str(py_spy), "dump", "--nonblocking", "--pid", str(pid)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=DUMP_WITHIN)
        except (OSError, subprocess.TimeoutExpired) as error:
            texts.append(f"process {pid}: {error}")
            continue
        if done.returncode == 0:
            texts.append(done.stdout)
        elif "ermission" in done.stderr:
            texts.append(f"process {pid}: {done.stderr.strip().splitlines()[-1]}")  # it is not Python's otherwise
    return "\n".join(texts)


def descendants(root: int) -> dict[int, str]:
    """Return the processes below ``root``, and how each calls itself."""
    names = {}
    for pid in tree_of(root)[1:]:
        with contextlib.suppress(OSError):
            names[pid] = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
    return names
