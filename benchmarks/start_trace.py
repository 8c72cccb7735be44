"""Where the seconds of a short job go: what it says and when, and how much of a processor each of its processes takes.

    python -m benchmarks.start_trace [WORD ...]

The job of ``start_stop``, one epoch of the MLP on two workers; or ``python -m WORD ...``, say ``jobs.pipeline --config
mnist --quick``. Each row below the lines is a process: from when to when it lived, its processor seconds, and which
tenths of a processor it had in each second, from the first. Linux.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

JOB = ["jobs.train", "--train.epochs", "1"]
LOOK_EVERY = 0.1  # seconds
LEAST = 0.1  # processor seconds of a process that is shown
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Life:
    """A process as it was seen.

    Attributes:
        first, last: seconds from the command.
        used: processor seconds until ``last``.
        by_second: those within each second.
    """

    name: str
    first: float
    last: float = 0.0
    used: float = 0.0
    by_second: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))


def main() -> int:
    words = sys.argv[1:] or JOB
    if words[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("RAY_ADDRESS", None)
    lives: dict[int, Life] = {}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", *words, "--run.storage_path", folder]
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        assert process.stdout is not None
        reader = threading.Thread(target=show_lines, args=(process.stdout, began))
        reader.start()
        while process.poll() is None:
            look(process.pid, time.monotonic() - began, lives)
            time.sleep(LOOK_EVERY)
        reader.join()
    seconds = time.monotonic() - began
    print(f"{seconds:6.2f} the prompt\n\n  from     to    CPU  process, and tenths of a processor in each second")
    for life in sorted(lives.values(), key=lambda one: one.first):
        if life.used >= LEAST:
            tenths = " ".join(f"{round(10 * life.by_second[second]):2d}" for second in range(int(seconds) + 1))
            print(f"{life.first:6.2f} {life.last:6.2f} {life.used:6.2f}  {life.name:24} {tenths}")
    return process.returncode


def show_lines(lines: IO[str], began: float) -> None:
    """Each line with the second in which it was said."""
    for line in lines:
        print(f"{time.monotonic() - began:6.2f} {line.rstrip()[:110]}", flush=True)


def look(root: int, now: float, lives: dict[int, Life]) -> None:
    """Note what the process ``root`` and all below it have used."""
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError):  # it ended
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
            times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used = (int(times[11]) + int(times[12])) / TICKS  # user and system
            life = lives.setdefault(pid, Life("", now))
            life.name = name_of(pid) or life.name
            life.by_second[int(now)] += used - life.used
            life.used, life.last = used, now


def name_of(pid: int) -> str:
    """What a process calls itself: ``ray::TrialRunner``, ``raylet``, ``jobs.train``."""
    words = [word for word in Path(f"/proc/{pid}/cmdline").read_text().split("\0") if word.strip()]
    if not words:
        return ""
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
    return (module or Path(words[0].split("(")[0]).name)[-24:]


if __name__ == "__main__":
    sys.exit(main())
