"""A process that stands still is ended; one that works, or has ended, is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from nn_train.storage.lease import started

LIMIT = 60  # seconds
FAR = 20.0  # seconds that no process of a busy machine waits for its turn
SCRIPT = """
import os, signal, sys, time
from nn_train.ray_cluster.guard import Guard
guard = Guard(600.0)
print(guard.process.pid, flush=True)
guard.change({timeout})
{work}
"""


@pytest.fixture
def guarded():
    """``guarded(work, timeout)``: a process under guard that then does ``work``, and the number of its guard."""
    processes = []

    def start(work, timeout):
        script = SCRIPT.format(work=work, timeout=timeout)
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def gone(pid):
    give_up = time.monotonic() + LIMIT
    while started(pid) not in (None, "ended"):
        assert time.monotonic() < give_up
        time.sleep(0.01)
    return True


def test_a_process_that_is_stopped_is_ended(guarded):
    process, guard = guarded("os.kill(os.getpid(), signal.SIGSTOP)", timeout=1.0)
    assert process.wait(LIMIT) == -signal.SIGKILL
    assert gone(guard)


def test_a_process_that_has_ended_leaves_no_guard(guarded):
    process, guard = guarded("", timeout=600.0)
    assert process.wait(LIMIT) == 0
    assert gone(guard)


@pytest.mark.long
def test_those_that_work_or_wait_beyond_the_time_out_are_not_ended(guarded):
    until = f"end = time.monotonic() + {FAR + 2}\nwhile time.monotonic() < end: "
    works = [until + "sorted(range(10**6, 0, -1)) and time.sleep(0.5)", until + "pass", f"time.sleep({FAR + 2})"]
    for process, guard in [guarded(work, timeout=FAR) for work in works]:
        assert process.wait(LIMIT) == 0
        assert gone(guard)


@pytest.mark.long
def test_what_was_suspended_together_with_its_guard_goes_on(guarded):
    process, guard = guarded("print('works', flush=True)\nsys.stdin.read()", timeout=FAR)
    assert process.stdout.readline() == "works\n"
    for number in (process.pid, guard):
        os.kill(number, signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(FAR + 2)
    for number in (guard, process.pid):
        os.kill(number, signal.SIGCONT)
    process.stdin.close()
    assert process.wait(LIMIT) == 0
