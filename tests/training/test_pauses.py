"""When an epoch is interrupted for a checkpoint, and what a worker does that is asked to leave."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.tf
CHIEF = SimpleNamespace(size=1, rank=0, is_chief=True)
LOOP = SimpleNamespace(gather_metrics=lambda: {})


@pytest.fixture
def make(monkeypatch):
    """``make(asked)``: pauses of a lone chief, and the steps at which a checkpoint was kept."""
    from nn_train.training import pauses

    monkeypatch.setattr(pauses, "from_chief", lambda replicas: lambda values: values)

    def pauses_that(asked):
        kept = []
        watch = pauses.Watchdog(60.0, lambda seconds: None)
        made = pauses.TimedPauses(1e9, CHIEF, lambda partial: kept.append(partial.step), watch, lambda: asked)
        return made, kept

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
