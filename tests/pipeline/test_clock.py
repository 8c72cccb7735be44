"""The time that a pipeline says is left."""

from __future__ import annotations

import pytest

from nn_train.events import StageStarted
from nn_train.pipeline.clock import FIRST_GUESS, START, TRACING, Clock, Stage, Work


def clock(*stages):
    events = []
    return Clock(stages, events.append), events


def test_the_first_guess_gives_way_to_what_was_measured():
    made, _ = clock(Stage("search", [Work("small", "mlp", 10)]), Stage("train", [Work("small", "mlp", 4)]))
    assert made.left() == pytest.approx(2 * START + 2 * TRACING + 14 * FIRST_GUESS["mlp"])
    made.begin()
    made.learn("small", [3.0, 1.0, 2.0])
    assert made.left() == pytest.approx(START + TRACING + 4 * 1.0)


def test_of_a_model_that_nothing_is_known_of_no_time_is_said():
    made, events = clock(Stage("search", [Work("own", "my:build", 1)]), Stage("train", [Work("own", "my:build", 3)]))
    made.begin()
    assert events == [StageStarted("search", 1, 2, left=None)]
    made.learn("own", [5.0])
    made.begin()
    assert events[1].left == pytest.approx(START + TRACING + 15.0)
