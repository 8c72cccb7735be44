"""When an epoch is interrupted for a checkpoint, and what a worker does that is asked to leave."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from clocks import Clock

pytestmark = pytest.mark.tf
CHIEF = SimpleNamespace(size=1, rank=0, is_chief=True)
COUNTED = dict  # what is gathered


@pytest.fixture
def clock(monkeypatch):
    """Time passes only where a test lets it."""
    from nn_train.runs import chunk_hooks

    made = Clock()
    monkeypatch.setattr(chunk_hooks, "time", made)
    return made


@pytest.fixture
def make(monkeypatch, clock):
    """``make(asked)``: hooks of a lone chief, and when it kept a checkpoint; ``then`` is called after each."""
    from nn_train.runs import chunk_hooks
    from nn_train.runs.watchdog import Watchdog

    monkeypatch.setattr(chunk_hooks, "from_chief", lambda replicas: lambda values: values)

    def hooks_that(asked, every_seconds=1e9, then=lambda: None):
        kept = []

        def keep(partial):
            kept.append(partial.step)
            then()

        watch = Watchdog(60.0, lambda seconds: None)
        return chunk_hooks.TimedHooks(every_seconds, CHIEF, keep, watch, lambda: asked), kept

    return hooks_that


def test_a_worker_that_is_asked_to_leave_keeps_a_checkpoint_first(make):
    from nn_train.runs.draining import DrainedError

    hooks, kept = make(asked=True)
    with pytest.raises(DrainedError):
        hooks.pause(COUNTED, 8, 1.0)
    assert kept == [8]
    with pytest.raises(DrainedError):
        hooks.drain_if_asked()


@pytest.mark.parametrize(("cost", "pause"), [(0.0, 1.0), (0.02, 1.0), (3.0, 100.0)])
def test_checkpoints_within_epochs_take_at_most_three_percent_of_the_time(make, clock, cost, pause):
    hooks, kept = make(asked=False, every_seconds=1.0, then=lambda: clock.sleep(cost))
    for step in range(2000):
        clock.sleep(0.25)
        hooks.pause(COUNTED, step, 1.0)
    share = len(kept) * cost / clock.now
    assert share <= 0.03
    assert len(kept) == pytest.approx(clock.now / (pause + cost), abs=2)
