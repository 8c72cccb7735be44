"""What a person sees."""

from __future__ import annotations

import io

import pytest

from nn_train.config import Config
from nn_train.events import (
    EpochEnded,
    Line,
    Started,
    Starting,
    StepsDone,
    Waiting,
    WorkersLost,
)
from nn_train.training.progress import Progress, epoch_line

ROW = {"epoch": 2, "loss": 0.19, "accuracy": 0.94, "val_loss": 0.15, "seconds": 1.94, "samples_per_second": 27513.2}


def test_an_epoch_is_one_line_with_metrics_speed_and_time_left():
    line = epoch_line({**ROW, "learning_rate": 0.001, "world_size": 2}, 5)
    assert line == "epoch 2/5  loss 0.1900  accuracy 0.9400  val_loss 0.1500  27,513 examples/s  1.9 s  6 s left"


@pytest.mark.parametrize(
    ("steps", "left", "line"),
    [
        (844, 66.0, "epoch 2/5, step 120/844  loss 0.1900  1,376 examples/s  1 min 6 s left of the epoch"),
    ],
)
def test_a_long_epoch_shows_its_steps_speed_and_time_left(steps, left, line):
    stream = io.StringIO()
    event = StepsDone(2, 5, 120, steps, 0.19, 1375.9, left)
    Progress(Config(), stream)(event)
    assert stream.getvalue() == f"{line}\n"


def test_a_run_of_five_epochs_prints_few_lines():
    stream = io.StringIO()
    progress = Progress(Config(), stream)
    progress.announce()
    progress(Line("converting the train part of …"))
    progress(Starting(2))
    progress(Waiting("2 CPUs: 1 of 4 free"))
    progress(Started("mnist_mlp", 101770, {"train": 54000, "validation": 6000}, 3, 0, steps_per_epoch=844))
    for epoch in range(4, 6):
        progress(EpochEnded({**ROW, "epoch": epoch}, 5))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 8
    assert lines[0] == "mnist_mlp: mlp on mnist, 2 workers of 1 CPU, batch 64, 5 epochs"
    assert lines[1] == "converting the train part of …"
    assert lines[2:4] == ["starting 2 workers", "waiting for 2 CPUs: 1 of 4 free"]
    assert "54,000 examples" in lines[4]
    assert lines[5] == "continuing after epoch 3"


LOST = WorkersLost([1], "worker 1 was lost: …", advice=None, restart=1, restarts=3)


def started(after, step=0):
    return Started("run", 10, {"train": 9, "validation": 0}, after, step, steps_per_epoch=1)


@pytest.mark.parametrize(
    ("resumed_after", "said"), [(1, "continuing after epoch 1"), (0, "beginning again: nothing had been kept yet")]
)
def test_after_a_restart_only_where_it_goes_on_is_said(resumed_after, said):
    stream = io.StringIO()
    progress = Progress(Config(), stream)
    progress(Starting(1))
    progress(started(0))
    progress(EpochEnded({**ROW, "epoch": 1}, 2))
    progress(LOST)
    progress(Starting(1))
    progress(started(resumed_after))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "starting 1 worker"
    assert lines[1].startswith("training 10 parameters")
    assert lines[3:] == ["worker 1 was lost: …; restarting (1 of 3)", said]
