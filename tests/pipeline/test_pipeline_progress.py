"""What a person sees of a pipeline."""

from __future__ import annotations

import io

import pytest

from nn_train.config import config_from_dict
from nn_train.pipeline.driver import PipelineResult
from nn_train.pipeline.progress import Progress
from nn_train.search.driver import SearchOutcome
from nn_train.search.journal import Record


@pytest.fixture
def screen():
    class Screen(Progress):
        def lines(self):
            return self.stream.getvalue().splitlines()

    return Screen(io.StringIO())


def row(epoch):
    return {"epoch": epoch, "loss": 0.5, "val_accuracy": 0.9, "seconds": 2.0, "samples_per_second": 100.0}


def test_a_stage_says_where_it_is_and_how_long_all_will_take(screen):
    screen({"event": "stage", "title": "search for mlp", "number": 1, "of": 4, "left": 125.0})
    screen({"event": "stage", "title": "search for own", "number": 2, "of": 4, "left": None})
    assert screen.lines() == ["", "[1/4] search for mlp  about 2 min 5 s left in all", "", "[2/4] search for own"]


def test_each_run_is_named_once_also_when_its_workers_start_again(screen):
    first, second = (config_from_dict({"name": name}) for name in ("a_seed0", "a_seed1"))
    start = {"event": "start", "warnings": [], "examples": {"train": 10, "validation": 2}, "parameters": 7}
    start |= {"steps_per_epoch": 3, "resumed_after": 0, "resumed_step": 0}
    screen({"event": "starting", "workers": 2, "config": first})
    for config in (first, second):
        screen({**start, "config": config})
        screen({"event": "epoch", "row": row(1), "epochs": 2, "warnings": [], "config": config})
    failure = {"event": "failure", "what": "worker 1 was lost: x", "advice": None, "restart": 1, "restarts": 3}
    screen({**failure, "config": second})
    screen({"event": "starting", "workers": 2, "config": second})
    screen({**start, "resumed_after": 1, "resumed_step": 0, "config": second})
    named = [line.split(":")[0] for line in screen.lines() if ": mlp on mnist" in line]
    assert named == ["a_seed0", "a_seed1"]
    assert screen.lines()[0] == "starting 2 workers"
    assert screen.lines()[-2:] == ["worker 1 was lost: x; restarting (1 of 3)", "continuing after epoch 1"]


@pytest.mark.parametrize(("ran", "before"), [(3, "best of 1 trial"), (0, "already finished; best of 1 trial")])
def test_what_a_search_found_is_said(screen, ran, before):
    best = Record(trial="t00000", phase="search", status="completed", values={"seed": 3}, rows=[row(1)])
    outcome = SearchOutcome(folder="results/x", records=[best], best=best, summary={}, ran=ran)
    screen({"event": "found", "config": config_from_dict({}), "outcome": outcome})
    assert screen.lines() == [f"{before}: t00000  val_accuracy 0.9000  seed 3"]


@pytest.mark.parametrize("ran", [True, False])
def test_the_last_line_is_the_report(screen, ran):
    screen.finish(PipelineResult("results/mnist", "results/mnist/report/report.html", {"seconds": 61.0}, ran))
    assert screen.lines()[-1] == "results/mnist/report/report.html"
    assert ("done in 1 min 1 s" if ran else "already finished") in screen.lines()[0]
