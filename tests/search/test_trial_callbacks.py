"""What the driver does when Ray Tune tells it of a trial: take it down once, keep the best, end in time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from trial_records import job, journal_of, rows

from nn_train.config.space import parse_space
from nn_train.events import TrialEnded
from nn_train.search.journal import Journal
from nn_train.search.trial_callbacks import Watcher, why_lost
from nn_train.search.warm.promise import PROMISE
from nn_train.storage.folder import ResultsFolder


@dataclass
class TuneTrial:
    """What the watcher reads of a trial of Ray Tune's."""

    config: dict[str, Any]
    last_result: dict[str, Any] | None = None
    error: Any = None
    recovers: bool = False
    run_metadata: Any = field(default_factory=lambda: SimpleNamespace(last_result={}))

    def get_pickled_error(self):
        return self.error

    def should_recover(self):
        return self.recovers


class Heard:
    """Loggers that note what they are told."""

    def __init__(self):
        self.told = []

    def log(self, trial, record):
        self.told.append((record.trial, record.status, len(record.rows)))


@dataclass
class Stage:
    """A watcher with the folder that it looks after."""

    folder: Any
    search: dict[str, Any] = field(default_factory=dict)
    earlier: list[Any] = field(default_factory=list)
    phase: str = "search"
    deadline: float | None = None
    said: list[Any] = field(default_factory=list)
    loggers: Heard = field(default_factory=Heard)

    def __post_init__(self):
        config, folder = job(self.folder, **self.search), ResultsFolder(str(self.folder))
        journal = journal_of(folder, *self.earlier)
        space = parse_space(config.search.space, config)
        known = (config, space, folder, journal)
        self.watcher = Watcher(*known, self.phase, self.deadline, self.said.append, self.loggers)

    @property
    def ended(self):
        """The records on disk, without those of earlier sessions."""
        return Journal(ResultsFolder(str(self.folder))).records[len(self.earlier) :]

    @property
    def kept(self):
        trials = self.folder / "trials"
        return sorted(path.name for path in trials.iterdir()) if trials.exists() else []

    def start(self, name):
        trial = TuneTrial({"trial": name, "draws": {"optimizer.learning_rate": 0.01}})
        self.watcher.on_trial_start(0, [], trial)
        weights = self.folder / "trials" / name / "best.weights"
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.write_text("")
        return trial

    def report(self, trial, *values, ended=False, cause=""):
        """One result, as ``TrialRunner.step`` gives it."""
        value = values[-1] if values and not cause else -1e30
        trial.last_result = {"rows": rows(*values), "value": value, "cause": cause, "ended": ended, "done": ended}
        self.watcher.on_trial_result(0, [], trial, trial.last_result)

    def run(self, name, *values, ended=True, cause=""):
        """A whole trial."""
        trial = self.start(name)
        self.report(trial, *values, ended=ended, cause=cause)
        self.watcher.on_trial_complete(0, [], trial)
        return trial


def test_a_broken_promise_ends_the_search_and_is_no_failure_of_the_trial(tmp_path):
    stage, cause = Stage(tmp_path), f"{PROMISE}two models are not alike"
    stage.run("t00000", cause=cause)
    assert stage.watcher.broken == cause
    assert stage.watcher.stop_all()
    assert stage.ended == []


@pytest.mark.parametrize(
    ("ended", "cause", "status", "message"),
    [
        (True, "", "completed", ""),
        (False, "", "stopped", "asha: not among the best"),
        (True, "the loss is nan", "failed", "the loss is nan"),
    ],
)
def test_a_trial_is_taken_down_when_it_ends_and_as_what(tmp_path, ended, cause, status, message):
    stage = Stage(tmp_path)
    stage.run("t00000", 0.5, 0.6, ended=ended, cause=cause)
    (one,) = stage.ended
    assert (one.trial, one.phase, one.status, one.cause) == ("t00000", "search", status, message)
    assert one.rows == rows(0.5, 0.6)
    assert one.draws == one.values == {"optimizer.learning_rate": 0.01}
    assert one.epochs == 4
    assert 0 < one.started <= one.finished
    assert stage.said == [TrialEnded("t00000", status, one.value("val_accuracy"), one.rows)]


@pytest.mark.parametrize(
    ("recovers", "last_attempt", "again"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_lost_trial_with_attempts_left_stays_open_to_be_run_again(tmp_path, recovers, last_attempt, again):
    stage = Stage(tmp_path)
    stage.watcher.last_attempt = last_attempt
    trial = stage.start("t00000")
    stage.report(trial, 0.5)
    trial.recovers, trial.error = recovers, RuntimeError("The actor died unexpectedly\nmore")
    for _ in range(2):  # Tune may say it twice
        stage.watcher.on_trial_error(0, [], trial)
    assert stage.watcher.lost == ({"t00000"} if again else set())
    failed = [] if again else [("failed", "the worker was lost: The actor died unexpectedly", rows(0.5))]
    assert [(one.status, one.cause, one.rows) for one in stage.ended] == failed


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("\n\nnode died\nmore", "the worker was lost: node died"),
        ("ray.exceptions.OutOfMemoryError: …", "out of memory: Ray killed the worker; lower train.batch_size"),
    ],
)
def test_why_a_worker_was_lost_is_one_line(error, said):
    assert why_lost(TuneTrial({}, error=error)).startswith(said)
    assert len(why_lost(TuneTrial({}, error=error)).splitlines()) == 1


def test_trials_cut_off_by_the_end_of_time_are_not_taken_down(tmp_path):
    stage = Stage(tmp_path, search={"time_budget": 1.5}, deadline=time.time() - 1)
    cut, ended, failed = (stage.start(f"t{index:05d}") for index in range(3))
    stage.report(cut, 0.5)
    stage.report(ended, 0.5, ended=True)
    stage.report(failed, 0.5, ended=True, cause="broken")
    assert stage.watcher.stop_all()
    for trial in (cut, ended, failed):
        stage.watcher.on_trial_complete(0, [], trial)
    assert [(one.trial, one.status) for one in stage.ended] == [("t00001", "completed"), ("t00002", "failed")]
    assert stage.watcher.reason == "the time budget of 1.5 s is used up"
    assert "t00000" in stage.kept, "it goes on when the search does"


@pytest.mark.parametrize(
    ("search", "phase", "value", "cause", "reached"),
    [
        ({"target": 0.6}, "search", 0.6, "", True),
        ({"target": 0.6}, "search", 0.59, "", False),
        ({"target": 0.6, "mode": "min"}, "search", 0.59, "", True),
        ({"target": 0.6}, "confirm", 0.7, "", False),  # which needs every seed
    ],
)
@pytest.mark.parametrize("ended", [True, False])
def test_the_target_ends_the_search(tmp_path, search, phase, value, cause, reached, ended):
    stage = Stage(tmp_path, search=search, phase=phase)
    trial = stage.start("t00000")
    stage.report(trial, value, ended=ended, cause=cause)
    assert stage.watcher.stop_all() is reached
    assert stage.watcher.reason == ("t00000 reached the target" if reached else "")
    for _ in range(2 if reached else 0):  # Tune ends it, and it is taken down once
        assert [one.status for one in stage.ended] == ["completed" if ended else "stopped"]
        stage.watcher.on_trial_complete(0, [], trial)


@pytest.mark.parametrize(("limit", "failures", "over"), [(2, 1, False), (2, 2, True), (None, 5, False)])
def test_too_many_failed_trials_end_the_search(tmp_path, limit, failures, over):
    stage = Stage(tmp_path, search={"max_failed_trials": limit})
    for index in range(failures):
        stage.run(f"t{index:05d}", cause="broken")
    assert stage.watcher.stop_all() is over
    assert stage.watcher.reason == (f"{failures} trials failed" if over else "")


@pytest.mark.parametrize(("mode", "kept"), [("max", ["t00001", "t00003"]), ("min", ["t00000", "t00004"])])
def test_only_the_best_keep_their_weights(tmp_path, mode, kept):
    stage = Stage(tmp_path, search={"keep_best": 2, "mode": mode})
    for index, value in enumerate((0.1, 0.9, 0.5, 0.8, 0.2)):
        stage.run(f"t{index:05d}", value)
        assert len(stage.kept) <= 2
    stage.run("t00005", 0.99, cause="broken")
    assert stage.kept == kept


def test_the_draws_of_a_begun_trial_are_kept_where_they_cannot_be_drawn_again(tmp_path):
    Stage(tmp_path, search={"algorithm": "tpe"}).start("t00000")
    assert (tmp_path / "trials" / "t00000" / "draws.json").exists()
    Stage(tmp_path / "listed", search={"algorithm": "random"}).start("t00000")
    assert not (tmp_path / "listed" / "trials" / "t00000" / "draws.json").exists()
