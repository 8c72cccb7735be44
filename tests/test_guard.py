"""A process that stands still is ended; one that works, or has ended, is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from nn_train.guard import Guard
from nn_train.processes import started

LIMIT = 60  # seconds
SCRIPT = """
import sys, time
from nn_train.guard import Guard
guard = Guard(600.0)
guard.change({timeout})
print(guard.process.pid, flush=True)
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
        return process, int(process.stdout.readline())

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


def test_those_that_work_or_wait_are_not_and_their_guards_end_with_them(guarded):
    works = ["for _ in range(8): sorted(range(10**6, 0, -1)) and time.sleep(0.5)", "time.sleep(6)"]
    works += ["while time.process_time() < 5: pass"]
    for process, guard in [guarded(work, timeout=4.0) for work in works]:
        assert process.wait(LIMIT) == 0
        assert gone(guard)


def test_where_no_process_can_be_made_the_work_goes_on(monkeypatch):
    def refuse(*arguments, **named):
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr("nn_train.guard.subprocess.Popen", refuse)
    Guard(1.0).change(2.0)


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
