"""What a person sees of a pipeline."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from nn_train.config import config_from_dict
from nn_train.events import About, EpochEnded, StageStarted, Started, Starting, WorkersLost
from nn_train.pipeline.driver import PipelineResult
from nn_train.pipeline.progress import Progress


@pytest.fixture
def screen():
    class Screen(Progress):
        def lines(self):
            return self.stream.getvalue().splitlines()

    return Screen(io.StringIO())


def row(epoch):
    return {"epoch": epoch, "loss": 0.5, "val_accuracy": 0.9, "seconds": 2.0, "samples_per_second": 100.0}


def test_a_stage_says_where_it_is_and_how_long_all_will_take(screen):
    screen(StageStarted("search for mlp", 1, 4, left=125.0))
    screen(StageStarted("search for own", 2, 4, left=None))
    assert screen.lines() == ["", "[1/4] search for mlp  about 2 min 5 s left in all", "", "[2/4] search for own"]


def test_each_run_is_named_once_also_when_its_workers_start_again(screen):
    first, second = (config_from_dict({"name": name}) for name in ("a_seed0", "a_seed1"))
    start = Started("run", 7, {"train": 10, "validation": 2}, resumed_after=0, resumed_step=0, steps_per_epoch=3)
    screen(About(first, Starting(2)))
    for config in (first, second):
        screen(About(config, start))
        screen(About(config, EpochEnded(row(1), 2)))
    screen(About(second, WorkersLost([1], "worker 1 was lost: x", advice=None, restart=1, restarts=3)))
    screen(About(second, Starting(2)))
    screen(About(second, replace(start, resumed_after=1)))
    named = [line.split(":")[0] for line in screen.lines() if ": mlp on mnist" in line]
    assert named == ["a_seed0", "a_seed1"]
    assert screen.lines()[0] == "starting 2 workers"
    assert screen.lines()[-2:] == ["worker 1 was lost: x; restarting (1 of 3)", "continuing after epoch 1"]


@pytest.mark.parametrize("ran", [True, False])
def test_the_last_line_is_the_report(screen, ran):
    screen.finish(PipelineResult("results/mnist", "results/mnist/report/report.html", {"seconds": 61.0}, ran))
    assert screen.lines()[-1] == "results/mnist/report/report.html"
    assert ("done in 1 min 1 s" if ran else "already finished") in screen.lines()[0]
