"""A process that stands still is ended; one that works, or has ended, is left alone."""

from __future__ import annotations

import os
import queue
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from nn_train.ray_cluster import guard as module
from nn_train.ray_cluster.guard import Guard, watch
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


def test_a_killed_process_leaves_no_guard(guarded):
    process, guard = guarded("time.sleep(600)", timeout=600.0)
    process.kill()
    assert gone(guard)


def test_ctrl_c_does_not_end_the_guard_before_its_process():
    command = [sys.executable, "-I", "-S", module.__file__, str(os.getpid()), "600"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as guard:
        guard.stdin.write(struct.pack("d", 600.0) * 10**4)  # more than a pipe holds: it has begun to read
        guard.stdin.flush()
        guard.send_signal(signal.SIGINT)
    assert guard.returncode == 0


@pytest.fixture
def pipe(monkeypatch):
    """The pipe on which a guard in this process is told; it ends nobody."""
    reads, writes = os.pipe()
    over = threading.Event()
    with open(reads, "rb", buffering=0) as pipe, open(writes, "wb") as stdin:
        listener = SimpleNamespace(stdin=stdin, poll=lambda: 0 if over.is_set() else None)
        monkeypatch.setattr(module.subprocess, "Popen", lambda *arguments, **named: listener)
        yield pipe
        over.set()
        for thread in threading.enumerate():
            if thread.name == "guard":
                thread.join()


WORKS = {
    "works in C": lambda: sorted(range(10**5, 0, -1)),
    "works in Python": lambda: [None for _ in range(10**5)],
    "waits": lambda: threading.Event().wait(0.05),
}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_the_guard_of_one_that_works_or_waits_is_told_on_and_on(pipe, work):
    Guard(600.0).change(0.2)
    values = []
    while len(values) < 2 * module.TOLD:
        work()
        if select.select([pipe], [], [], 0)[0]:
            values += [value for (value,) in struct.iter_unpack("d", pipe.read(8 * 100))]
    assert values[-1] == 0.2


@pytest.mark.usefixtures("pipe")
def test_it_is_told_many_times_within_the_time_out(monkeypatch):
    waits = []

    class Event(threading.Event):
        def wait(self, timeout=None):
            waits.append(timeout)
            return super().wait(0.001)

    monkeypatch.setattr(module, "threading", SimpleNamespace(Event=Event, Thread=threading.Thread))
    guard = Guard(600.0)
    for timeout in (600.0, 60.0, 0.5):
        guard.change(timeout)
        seen = len(waits)
        while len(waits) < seen + 2:  # the first one may have begun before
            time.sleep(0)
        assert 0 < waits[-1] <= min(timeout / 10, 5.0)


@pytest.mark.usefixtures("pipe")
def test_a_shorter_time_out_does_not_wait_for_the_next_sign(monkeypatch):
    waits = queue.SimpleQueue()

    class Event(threading.Event):
        def wait(self, timeout=None):
            waits.put(timeout)
            return super().wait(None if timeout == module.SELDOM else 0.001)  # only a change ends the longest one

    monkeypatch.setattr(module, "threading", SimpleNamespace(Event=Event, Thread=threading.Thread))
    guard = Guard(600.0)
    try:
        assert waits.get(timeout=LIMIT) == module.SELDOM
        guard.change(0.5)
        assert waits.get(timeout=FAR) <= 0.5 / 10
    finally:
        guard.changed.set()


def watched(monkeypatch, *comes, parent=7):
    """How long a guard of process 7 waits each time while that comes (None: silence), and whom it then ends."""
    coming, limits, ended = list(comes), [], []

    def wait(reads, writes, others, limit):
        limits.append(limit)
        return [] if coming[0] is None else reads, [], []

    here = SimpleNamespace(
        read=lambda *arguments: coming.pop(0), getppid=lambda: parent, kill=lambda *how: ended.append(how)
    )
    monkeypatch.setattr(module, "select", SimpleNamespace(select=wait))
    monkeypatch.setattr(module, "os", here)
    watch(7, 600.0)
    return limits, ended


def test_a_guard_waits_anew_whenever_it_is_told_and_ends_whom_it_was_not_told_of(monkeypatch):
    four, nine = struct.pack("d", 4.0), struct.pack("d", 9.0)
    assert watched(monkeypatch, four, four, nine, b"") == ([600.0, 4.0, 4.0, 9.0], [])
    assert watched(monkeypatch, four, four, None) == ([600.0, 4.0, 4.0], [(7, signal.SIGKILL)])
    assert watched(monkeypatch, four, None, parent=1) == ([600.0, 4.0], [])  # 7 may be another process by now


def test_where_no_process_can_be_made_the_work_goes_on(monkeypatch):
    def refuse(*arguments, **named):
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr("nn_train.ray_cluster.guard.subprocess.Popen", refuse)
    Guard(1.0).change(2.0)


def test_where_the_guard_was_killed_the_work_goes_on(pipe):
    pipe.close()
    Guard(600.0).change(2.0)


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
