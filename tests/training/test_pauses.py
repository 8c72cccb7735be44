"""When an epoch is interrupted for a checkpoint, and what a worker does that is asked to leave."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from clocks import Clock

pytestmark = pytest.mark.tf
CHIEF = SimpleNamespace(size=1, rank=0, is_chief=True)
LOOP = SimpleNamespace(counts=SimpleNamespace(gather=lambda: {}))


@pytest.fixture
def make(monkeypatch):
    """``make(asked)``: pauses of a lone chief, and when it kept a checkpoint; ``then`` is called after each."""
    from nn_train.training import pauses

    monkeypatch.setattr(pauses, "from_chief", lambda replicas: lambda values: values)

    def pauses_that(asked, every_seconds=1e9, then=lambda: None):
        kept = []

        def keep(partial):
            kept.append(partial.step)
            then()

        watch = pauses.Watchdog(60.0, lambda seconds: None)
        return pauses.TimedPauses(every_seconds, CHIEF, keep, watch, lambda: asked), kept

    return pauses_that


def test_a_worker_that_is_asked_to_leave_keeps_a_checkpoint_first(make):
    from nn_train.training.leaving import LeavingError

    pauses, kept = make(asked=True)
    with pytest.raises(LeavingError):
        pauses.pause(LOOP, 8, 1.0)
    assert kept == [8]
    with pytest.raises(LeavingError):
        pauses.leave_if_asked()


def test_otherwise_it_goes_on_and_keeps_none_before_it_is_time(make):
    pauses, kept = make(asked=False)
    pauses.pause(LOOP, 8, 1.0)
    pauses.leave_if_asked()
    assert kept == []


@pytest.mark.parametrize(("cost", "pause"), [(0.0, 1.0), (0.02, 1.0), (3.0, 100.0)])
def test_checkpoints_within_epochs_take_at_most_three_percent_of_the_time(make, monkeypatch, cost, pause):
    from nn_train.training import pauses as module

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    pauses, kept = make(asked=False, every_seconds=1.0, then=lambda: clock.sleep(cost))
    for step in range(2000):
        clock.sleep(0.25)
        pauses.pause(LOOP, step, 1.0)
    share = len(kept) * cost / clock.now
    assert share <= 0.03
    assert len(kept) == pytest.approx(clock.now / (pause + cost), abs=2)


@pytest.mark.parametrize(("expected", "seconds"), [(0.0, 100.0), (1.0, 10.0), (5.0, 15.0)])
def test_steps_are_watched_the_first_ones_with_more_patience(monkeypatch, expected, seconds):
    from nn_train.training import pauses

    waited = []

    class Timer(threading.Timer):
        def start(self):
            waited.append(self.interval)

    monkeypatch.setattr(pauses.threading, "Timer", Timer)
    pauses.Watchdog(10.0, lambda seconds: None).begin(expected)
    assert waited == [seconds]


def test_what_does_not_end_is_told_and_what_ends_is_not():
    from nn_train.training.pauses import Watchdog

    told = threading.Event()
    watch = Watchdog(0.01, lambda seconds: told.set())
    watch.begin(1e-9)
    assert told.wait(30)
    told.clear()
    watch = Watchdog(30.0, lambda seconds: told.set())
    watch.begin(1e-9)
    timer = watch.timer
    watch.end()
    timer.join()
    assert not told.is_set()
