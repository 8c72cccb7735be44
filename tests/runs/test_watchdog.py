"""When a worker is taken for hung."""

from __future__ import annotations

import threading

import pytest
from clocks import Clock

from nn_train.runs import watchdog
from nn_train.runs.watchdog import Watchdog


def busy(now):
    return True


def idle(now):
    return False


class Looks:
    """Stands for the event that ends the watch: time goes on with every look, and with it the CPU's while it is busy.

    Args:
        is_busy: whether the process uses a core at a moment, or a hundredth of one.
    """

    def __init__(self, clock, is_busy):
        self.clock, self.is_busy, self.cpu = clock, is_busy, 0.0

    def wait(self, seconds):
        self.cpu += seconds * (1.0 if self.is_busy(self.clock.now) else 0.01)
        self.clock.sleep(seconds)
        return False

    def is_set(self):
        return False

    def process_time(self):
        return self.cpu


@pytest.mark.parametrize(
    ("begin", "is_busy", "hangs_from", "seconds"),
    [
        pytest.param(
            lambda watch: watch.steps(0.0), lambda now: now < 200.0, 200.0, 60.0, id="first steps, traced, then idle"
        ),
        pytest.param(lambda watch: watch.steps(0.0), busy, 0.0, 600.0, id="first steps that compute without end"),
        pytest.param(lambda watch: watch.steps(5.0), busy, 0.0, 60.0, id="steps of a known pace"),
        pytest.param(lambda watch: watch.other(), idle, 0.0, 600.0, id="a callback that waits"),
    ],
)
def test_what_hangs_is_found_within_its_time_and_not_much_before(monkeypatch, begin, is_busy, hangs_from, seconds):
    clock, hangs = Clock(), []
    looks = Looks(clock, is_busy)
    clock.process_time = looks.process_time
    monkeypatch.setattr(watchdog, "time", clock)
    watch = Watchdog(60.0, lambda waited: hangs.append(clock.now))
    watch.ended = threading.Event()  # no thread: it is looked here
    begin(watch)
    watch.look(looks)
    assert 0.85 * seconds <= hangs[0] - hangs_from <= seconds


def test_a_process_that_was_suspended_is_not_taken_for_hung(monkeypatch):
    clock, hangs = Clock(), []
    clock.then = {100.0: lambda: clock.sleep(3000.0)}  # of an hour nobody of this process saw anything
    looks = Looks(clock, busy)
    clock.process_time = looks.process_time
    monkeypatch.setattr(watchdog, "time", clock)
    watch = Watchdog(60.0, lambda waited: hangs.append((clock.now, waited)))
    watch.ended = threading.Event()
    watch.steps(0.0)
    watch.look(looks)
    ((now, waited),) = hangs
    assert now > 3000 + 0.9 * 600
    assert waited <= 600
