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


def test_of_a_long_epoch_is_told_every_twenty_seconds_how_far_it_is(make, clock):
    hooks, _ = make(asked=False)
    told = []
    hooks.tell = lambda step, loss_sum, pace: told.append((step, loss_sum, pace))
    for epoch_steps in (60, 30):  # ten in five seconds
        hooks.meet()
        for step in range(10, epoch_steps + 1, 10):
            hooks.train(reads_stream=False, first=step == 10)
            clock.sleep(5.0)
            hooks.trained(10)
            hooks.pause(COUNTED, step, 0.5 * step)
    assert told == [(40, 20.0, pytest.approx(2.0))]  # the second epoch is short


def test_the_others_do_what_the_chief_says_and_keep_no_checkpoint(make):
    from nn_train.runs.draining import DrainedError

    hooks, kept = make(asked=False)
    hooks.replicas = SimpleNamespace(size=2, rank=1, is_chief=False)
    said, gathered = [[16.0, 1.0, 0.0], [0.0, 0.0, 0.0], [24.0, 1.0, 0.0], [1.0, 0.0, 0.0]], []
    hooks.share = lambda values: said.pop(0)
    hooks.pause(lambda: gathered.append(8), 8, 1.0)
    assert hooks.train(reads_stream=False, first=False) == 16
    with pytest.raises(DrainedError):
        hooks.pause(lambda: gathered.append(24), 24, 1.0)
    assert (kept, gathered) == ([], [8, 24])


@pytest.mark.parametrize(("cost", "pause"), [(0.0, 1.0), (0.02, 1.0), (3.0, 100.0)])
def test_checkpoints_within_epochs_take_at_most_three_percent_of_the_time(make, clock, cost, pause):
    hooks, kept = make(asked=False, every_seconds=1.0, then=lambda: clock.sleep(cost))
    for step in range(2000):
        clock.sleep(0.25)
        hooks.pause(COUNTED, step, 1.0)
    share = len(kept) * cost / clock.now
    assert share <= 0.03
    assert len(kept) == pytest.approx(clock.now / (pause + cost), abs=2)


@pytest.mark.parametrize(("every_seconds", "aim"), [(1e9, 5.0), (1.0, 1.0)])
def test_a_chunk_grows_to_five_seconds_and_its_pace_is_known_once_nothing_is_traced(make, clock, every_seconds, aim):
    hooks, _ = make(asked=False, every_seconds=every_seconds)
    pace, expected = hooks.training, []
    hooks.watch = SimpleNamespace(steps=expected.append, other=lambda: None)

    def chunk(seconds_a_step, done=None):
        steps = hooks.train(reads_stream=False, first=False)
        clock.sleep(seconds_a_step * steps)
        hooks.trained(steps if done is None else done)
        hooks.pause(COUNTED, 8, 1.0)
        return steps

    assert [chunk(0.01), chunk(0.01), chunk(0.01)] == [
        8,
        64,
        pytest.approx(100 * aim, abs=1),
    ]  # at most eight times more
    whole = pace.wanted
    assert chunk(0.01, done=3) == whole
    assert pace.wanted == whole  # the last ones of an epoch say little
    assert expected[:2] == [0.0, 0.0]
    assert expected[2:] == pytest.approx([aim, aim], rel=0.01)
    assert hooks.validation.wanted == 8  # another pace


@pytest.mark.parametrize(
    ("reads_stream", "watched"),
    [(False, ["steps", "steps", "steps", "steps"]), (True, ["other", "other", "steps", "other"])],
)
def test_the_first_chunks_of_a_stream_may_wait_for_its_examples_in_every_epoch(make, reads_stream, watched):
    hooks, _ = make(asked=False)
    for begin, end in ((hooks.train, hooks.trained), (hooks.validate, hooks.validated)):
        calls = []
        hooks.watch = SimpleNamespace(
            steps=lambda expected, calls=calls: calls.append("steps"), other=lambda calls=calls: calls.append("other")
        )
        for first in (True, False, False, True):
            end(begin(reads_stream, first))
        assert calls[::2] == watched
        assert calls[1::2] == ["other"] * 4  # between the chunks
