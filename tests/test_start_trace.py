"""``benchmarks.start_trace``: what a command says, when it ended, and what its processes used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.start_trace import Life, look

ROOT = Path(__file__).parents[1]


def test_a_command_is_shown_with_its_lines_times_and_code():
    command = [sys.executable, "-m", "benchmarks.start_trace", "jobs.train", "--train.epoch", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    said, prompt = done.stdout.splitlines()[:2]
    assert re.match(r" +0\.\d\d error: --train\.epoch: no such field", said)
    assert re.match(r" +\d\.\d\d the prompt", prompt)


def test_a_process_below_another_is_seen_with_what_it_used():
    busy = "while True: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], start_new_session=True)
    lives: dict[int, Life] = {}
    try:
        while not any(life.used > 0.2 for pid, life in lives.items() if pid != process.pid):
            look(process.pid, 3.5, lives)
    finally:
        for pid in lives:
            subprocess.run(["kill", str(pid)], check=False)
        process.wait()
    (child,) = (life for pid, life in lives.items() if pid != process.pid)
    assert child.by_second == {3: child.used}
    assert (child.first, child.last) == (3.5, 3.5)
    assert child.name.startswith("python")
