"""What a person sees of a search."""

from __future__ import annotations

import io

from trial_records import job, record

from nn_train.events import Line, PhaseStarted, TrialEnded, Warned, WritingModels
from nn_train.search.driver import SearchOutcome
from nn_train.search.progress import QUIET_SECONDS, Progress


class Screen:
    """A progress whose clock is set by hand."""

    def __init__(self, **search):
        self.now, self.stream = 0.0, io.StringIO()
        self.progress = Progress(job(**search), self.stream, lambda: self.now)

    @property
    def lines(self):
        return self.stream.getvalue().splitlines()

    def phase(self, phase="search", count=10, known=0):
        self.progress(PhaseStarted(phase, count, known))

    def trial(self, *args, at, **kwargs):
        """The line that a trial brings, if any."""
        before, self.now = len(self.lines), at
        one = record(*args, **kwargs)
        self.progress(TrialEnded(one.trial, one.status, one.value("val_accuracy"), one.rows))
        assert len(self.lines) - before <= 1
        return self.lines[before] if len(self.lines) > before else None


def test_a_search_says_what_it_is_about_to_do():
    screen = Screen(algorithm="tpe")
    screen.progress.announce()
    screen.progress(Line("converting the train part of …"))
    screen.phase(count=11)
    screen.phase(count=10, known=3)
    screen.phase("extend", 2, known=9)
    screen.phase("confirm", 6)
    screen.progress(WritingModels(1))
    screen.progress(WritingModels(3))
    screen.progress(Warned("mlflow does not work"))
    assert screen.lines == [
        "s: tpe search over optimizer.learning_rate; asha, at most 4 epochs, 1 worker a trial",
        "converting the train part of …",
        "searching: 11 trials; their processes start first, in some seconds",
        "searching: 10 trials",
        "3 trials ended before; not run again",
        "training 2 trials of the best for 4 epochs",
        "training the best again with other seeds: 6 trials",
        "writing the best model",
        "writing the 3 best models",
        "warning: mlflow does not work",
    ]


def test_a_better_trial_is_told_at_once_others_after_a_while():
    screen = Screen()
    screen.phase(count=6)
    assert screen.trial("t0", 0.5, at=1) == "trial 1/6  t0  completed  val_accuracy 0.5000  best so far"
    assert screen.trial("t1", 0.4, at=2) is None
    line = screen.trial("t2", 0.4, at=1 + QUIET_SECONDS, status="stopped")
    assert line == "trial 3/6  t2  stopped  val_accuracy 0.4000  (best 0.5000)  11 s left"
    assert screen.trial("t3", at=12, status="failed") is None
    assert screen.trial("t4", 0.6, at=13).endswith("val_accuracy 0.6000  best so far  3 s left")
    assert screen.trial("t5", at=14, status="failed") == "trial 6/6  t5  failed  val_accuracy: none  (best 0.6000)"
    less = Screen(mode="min")
    less.phase(count=5)
    less.trial("t0", 0.5, at=1)
    assert less.trial("t1", 0.4, at=2).endswith("best so far")


def outcome(records, ran=3, **summary):
    about = {
        "trials": {"completed": 2, "stopped": 0, "failed": 1},
        "seconds": 61.0,
        "ended": "all trials ended",
        "failures": [],
        "confirmed": [],
        **summary,
    }
    return SearchOutcome("/r/s", records, records[0], about, ran)


RECORDS = [
    record("t00000", 0.5, values={"optimizer.learning_rate": 0.0123456, "model.dropout": None}),
    record("t00001", 0.5, 0.75, values={"optimizer.learning_rate": 0.1, "train.batch_size": 32}),
    record("t00002", status="failed"),
]


def test_the_end_is_a_table_of_the_best():
    screen = Screen()
    screen.progress.finish(outcome(RECORDS))
    assert screen.lines[:4] == [
        "",
        "trial   val_accuracy  epochs  learning_rate  batch_size  dropout",
        "t00001  0.7500        2       0.1            32",
        "t00000  0.5000        1       0.01235",
    ]
    assert screen.lines[4] == "2 completed, 1 failed in 1 min 1 s; all trials ended"
    assert any("nn_train.train('/r/s/best.yaml')" in line for line in screen.lines[5:])
    assert any(line.startswith("results in /r/s") for line in screen.lines[5:])
