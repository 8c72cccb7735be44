"""When an epoch is interrupted for a checkpoint, and what a worker does that is asked to leave."""

from __future__ import annotations

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
    from nn_train.training.watchdog import Watchdog

    monkeypatch.setattr(pauses, "from_chief", lambda replicas: lambda values: values)

    def pauses_that(asked, every_seconds=1e9, then=lambda: None):
        kept = []

        def keep(partial):
            kept.append(partial.step)
            then()

        watch = Watchdog(60.0, lambda seconds: None)
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


def test_a_chunk_grows_to_five_seconds_and_the_pace_of_validation_is_another(make):
    pauses, _ = make(asked=False)
    pace = pauses.training
    assert (pauses.train(reads_stream=False), pauses.validate(reads_stream=False)) == (8, 8)
    pace.began -= 0.08  # ten milliseconds a step
    pauses.trained(8)
    assert pace.wanted == 64  # at most eight times as many
    pauses.pause(LOOP, 8, 1.0)
    assert pauses.train(reads_stream=False) == 64
    pace.began -= 0.64
    pauses.trained(64)
    assert pace.wanted == pytest.approx(500, rel=0.1)
    pauses.watch.end()


@pytest.mark.parametrize(("reads_stream", "watched"), [(False, "steps"), (True, "other")])
def test_only_the_first_chunk_of_a_stream_may_wait_for_its_examples(make, reads_stream, watched):
    pauses, _ = make(asked=False)
    told = []
    pauses.watch = SimpleNamespace(steps=lambda expected: told.append("steps"), other=lambda: told.append("other"))
    for begin, end in ((pauses.train, pauses.trained), (pauses.validate, pauses.validated)):
        begin(reads_stream)
        end(8)
        begin(reads_stream)
        end(8)
    assert told == 2 * [watched, "other", "steps", "other"]
