"""What a person sees."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from nn_train.config import Config, config_from_dict
from nn_train.config.wording import duration
from nn_train.events import (
    EpochEnded,
    Finished,
    Leaving,
    Line,
    Started,
    Starting,
    StepsDone,
    Waiting,
    WorkersLost,
)
from nn_train.training.progress import Progress, epoch_line, loss_lines

ROW = {"epoch": 2, "loss": 0.19, "accuracy": 0.94, "val_loss": 0.15, "seconds": 1.94, "samples_per_second": 27513.2}


def test_an_epoch_is_one_line_with_metrics_speed_and_time_left():
    line = epoch_line({**ROW, "learning_rate": 0.001, "world_size": 2}, 5)
    assert line == "epoch 2/5  loss 0.1900  accuracy 0.9400  val_loss 0.1500  27,513 examples/s  1.9 s  6 s left"


@pytest.mark.parametrize(
    ("steps", "left", "line"),
    [
        (844, 66.0, "epoch 2/5, step 120/844  loss 0.1900  1,376 examples/s  1 min 6 s left of the epoch"),
        (None, None, "epoch 2/5, step 120  loss 0.1900  1,376 examples/s"),
    ],
)
def test_a_long_epoch_shows_its_steps_speed_and_time_left(steps, left, line):
    stream = io.StringIO()
    event = StepsDone(2, 5, 120, steps, 0.19, 1375.9, left)
    Progress(Config(), stream)(event)
    assert stream.getvalue() == f"{line}\n"


def test_of_a_metric_that_gives_a_vector_the_line_has_nothing():
    row = {**ROW, "recall_0": 0.1, "recall_1": 0.2, "top_5": 0.9}
    assert epoch_line(row, 5) == epoch_line({**ROW, "top_5": 0.9}, 5)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_read_naturally(seconds, text):
    assert duration(seconds) == text


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
    ("event", "lines"),
    [
        (LOST, ["worker 1 was lost: …; restarting (1 of 3)"]),
        (replace(LOST, restart=None), ["worker 1 was lost: …; restarting"]),
        (
            replace(LOST, restart=2, advice="use less"),
            ["worker 1 was lost: …; restarting (2 of 3)", "use less"],
        ),
    ],
)
def test_a_failure_says_what_is_done_about_it(event, lines):
    assert loss_lines(event) == lines


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


def test_workers_that_come_and_go_are_told_with_their_number():
    stream = io.StringIO()
    progress = Progress(config_from_dict({"scaling": {"num_workers": 4, "min_workers": 1}}), stream)
    progress.announce()
    progress(Starting(3))
    progress(started(0))
    progress(Leaving("there is room for 4 workers"))
    progress(Starting(4))
    progress(started(0, 5))
    lines = stream.getvalue().splitlines()
    assert "1 to 4 workers of 1 CPU" in lines[0]
    assert lines[1] == "starting 3 workers"
    assert lines[3:] == [
        "there is room for 4 workers; going on with other workers once a checkpoint is kept",
        "starting 4 workers",
        "continuing after epoch 0 and 5 steps",
    ]


def test_a_warning_of_an_epoch_or_of_the_end_follows_its_line():
    stream = io.StringIO()
    progress = Progress(Config(), stream)
    progress(EpochEnded(ROW, 5, ["mlflow does not work"]))
    progress(Finished({}, ["mlflow did not get the last 2 epochs"]))
    assert stream.getvalue().splitlines()[1:] == [
        "warning: mlflow does not work",
        "warning: mlflow did not get the last 2 epochs",
    ]
