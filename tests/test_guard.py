"""A process that stands still is ended; one that works, or has ended, is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nn_train.processes import started

LIMIT = 60  # seconds
SCRIPT = """
import sys, time
from nn_train.guard import Guard
guard = Guard(600.0)
guard.change({timeout})
print("guarded", flush=True)
{work}
"""


@pytest.fixture
def guarded():
    """``guarded(work, timeout)``: a process under guard that then does ``work``, and the number of its guard."""
    processes = []

    def start(work, timeout):
        script = SCRIPT.format(work=work, timeout=timeout)
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "guarded\n"
        (guard,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return process, int(guard)

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def gone(pid):
    give_up = time.monotonic() + LIMIT
    while started(pid) not in (None, "ended"):
        assert time.monotonic() < give_up
        time.sleep(0.01)
    return True


def test_a_process_that_is_stopped_is_ended(guarded):
    process, guard = guarded("time.sleep(600)", timeout=1.0)
    os.kill(process.pid, signal.SIGSTOP)
    assert process.wait(LIMIT) == -signal.SIGKILL
    assert gone(guard)


@pytest.mark.parametrize(
    "work", ["sorted(range(10**7, 0, -1))", "time.sleep(2)", "while time.process_time() < 2: pass"]
)
def test_one_that_works_or_waits_is_not_and_its_guard_ends_with_it(guarded, work):
    process, guard = guarded(work, timeout=1.0)
    assert process.wait(LIMIT) == 0
    assert gone(guard)


def test_a_killed_process_leaves_no_guard(guarded):
    process, guard = guarded("time.sleep(600)", timeout=600.0)
    process.kill()
    assert gone(guard)


def test_what_was_suspended_together_with_its_guard_goes_on(guarded):
    process, guard = guarded("time.sleep(6)", timeout=2.0)
    for number in (process.pid, guard):
        os.kill(number, signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    for number in (guard, process.pid):
        os.kill(number, signal.SIGCONT)
    assert process.wait(LIMIT) == 0
