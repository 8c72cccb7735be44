"""HyperBand after a kill: the brackets are what they were, at whatever moment it was."""

from __future__ import annotations

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from trial_records import job

from nn_train.search.hyperband import Earlier, replay
from nn_train.search.journal import COMPLETED, FAILED, STOPPED
from nn_train.search.schedulers import make_scheduler

EPOCHS, FACTOR = 9, 3  # brackets of 3, 5 and 9 trials, with cuts after epochs 3, and 1 and 3
TRIALS = 17
FAILS = {"t00004": 2, "t00012": 4}  # after so many epochs: before its bracket's cut, and between two
EARLY = {"t00005": 3, "t00001": 5}  # its val_loss no longer falls: at the epoch of a rung, and at another


def value(name, epoch):
    """What a trial reaches: never the same twice, and the best changes from epoch to epoch."""
    return (int(name[1:]) * 37 % 101 + epoch * 13 % 29) / 1000


class Tune:
    """Tune's controller, as far as HyperBand needs it: trials run one after the other, an epoch each.

    ``durable`` is what a kill leaves: the journal, and the epochs of each trial until its last rung and its last
    checkpoint.
    """

    def __init__(self, durable=None):
        self.journal, self.rungs, self.kept = durable or ({}, {}, {})
        self.scheduler = make_scheduler(job(scheduler="hyperband", epochs=EPOCHS, reduction_factor=FACTOR), {})
        open_names = [name for name in map("t{:05d}".format, range(TRIALS)) if name not in self.journal]
        cut = replay(self.scheduler, [self.earlier(name) for name in sorted([*self.journal, *open_names])])
        for one in cut:
            self.journal[one.point["trial"]] = (STOPPED, len(one.rows))
        self.trials = [self.add(name) for name in open_names if name not in self.journal]
        self.scheduler.at_rung = lambda trial, result: self.rungs.update({trial.trial_id: result["epoch"]})

    def earlier(self, name):
        status, epochs = self.journal.get(name, ("", self.rungs.get(name, 0)))
        values = [value(name, epoch) for epoch in range(1, epochs + 1)]
        return Earlier({"trial": name}, values, [{"epoch": epoch} for epoch in range(1, epochs + 1)], status)

    def add(self, name):
        trial = Trial("t", config={"trial": name}, trial_id=name, stub=True)
        trial.init_local_path = lambda: None
        self.scheduler.on_trial_add(self, trial)
        trial.epochs = self.kept.get(name, 0)
        return trial

    def stop_trial(self, trial):
        trial.set_status(Trial.TERMINATED)
        self.scheduler.on_trial_remove(self, trial)
        self.journal[trial.trial_id] = (STOPPED, len(trial.last_result["rows"]))

    def end(self, trial, status):
        self.journal[trial.trial_id] = (status, trial.epochs)
        self.scheduler.on_trial_complete(self, trial, {})
        trial.set_status(Trial.TERMINATED)

    def run(self, order, kept_every, steps=10_000):
        """Train until all trials ended, or for so many epochs. Two trials run at a time."""
        running = []
        while len(self.journal) < TRIALS:
            while len(running) < 2 and (trial := self.scheduler.choose_trial_to_run(self)) is not None:
                trial.set_status(Trial.RUNNING)
                running.append(trial)
            assert running, "all wait for each other"
            trial = running[order(steps) % len(running)]
            self.epoch(trial, kept_every)
            running = [trial for trial in running if trial.status == Trial.RUNNING]
            steps -= 1
            if not steps:
                break
        return self.journal

    def epoch(self, trial, kept_every):
        name = trial.trial_id
        if FAILS.get(name) == trial.epochs:
            return self.end(trial, FAILED)
        trial.epochs += 1
        if trial.epochs in (EPOCHS, EARLY.get(name)):
            return self.end(trial, COMPLETED)
        result = {"epoch": trial.epochs, "value": value(name, trial.epochs), "rows": [{}] * trial.epochs}
        if trial.epochs % kept_every == 0:
            self.kept[name] = trial.epochs
        decision = self.scheduler.on_trial_result(self, trial, result)
        trial.run_metadata.last_result = result
        if decision == TrialScheduler.PAUSE:
            self.kept[name] = trial.epochs
            trial.set_status(Trial.PAUSED)
        elif decision == TrialScheduler.STOP:
            self.end(trial, STOPPED)
        return None


ORDERS = [lambda step: 0, lambda step: 1, lambda step: step, lambda step: step // 3]


@pytest.mark.parametrize("order", range(len(ORDERS)))
def test_a_search_that_was_killed_at_any_epoch_stops_the_same_trials_at_the_same_epochs(order):
    expected = Tune().run(ORDERS[0], 1)
    assert {status for status, _ in expected.values()} == {COMPLETED, STOPPED, FAILED}
    for killed in range(1, 100, 3):
        tune = Tune()
        tune.run(ORDERS[order], 4, killed)
        again = Tune((tune.journal, tune.rungs, tune.kept))
        again.run(ORDERS[-order], 4, killed)
        ended = dict(again.journal)
        found = Tune((again.journal, again.rungs, again.kept)).run(ORDERS[order], 4)
        assert found == expected, f"killed after {killed} epochs, and again with {ended}"


def test_a_cut_of_which_the_journal_has_only_a_part_is_made_whole():
    tune = Tune()
    written = dict(tune.journal)
    while STOPPED not in {status for status, _ in tune.journal.values()}:
        written = dict(tune.journal)
        tune = Tune((dict(tune.journal), tune.rungs, tune.kept))
        tune.run(ORDERS[0], 1, 1)
    stopped = {name: end for name, end in tune.journal.items() if end[0] == STOPPED}
    assert len(stopped) > 1
    one = next(iter(stopped))
    again = Tune(({**written, one: stopped[one]}, tune.rungs, tune.kept))
    assert {name: end for name, end in again.journal.items() if end[0] == STOPPED} == stopped
    assert not stopped.keys() & {trial.trial_id for trial in again.trials}


def test_a_trial_that_waits_at_a_rung_is_not_started():
    def waits(scheduler, trial):
        return trial.status == Trial.PAUSED and trial not in scheduler._trial_info[trial][0].trials_to_unpause

    seen = set()
    for killed in range(1, 100, 3):
        tune = Tune()
        tune.run(ORDERS[0], 1, killed)
        waiting = {trial.trial_id for trial in tune.trials if waits(tune.scheduler, trial)}
        again = Tune((tune.journal, tune.rungs, tune.kept))
        assert {trial.trial_id for trial in again.trials if trial.status == Trial.PAUSED} == waiting
        seen |= waiting
    assert len(seen) > 3


def run_alone(tune, names, epochs):
    """Train only these trials, so many epochs more; those that wait are woken."""
    for trial in tune.trials:
        if trial.trial_id in names:
            trial.set_status(Trial.RUNNING)
            for _ in range(epochs):
                tune.epoch(trial, 1)


SECOND, THIRD = [f"t{index:05d}" for index in range(3, 8)], [f"t{index:05d}" for index in range(8, 17)]


def test_the_rivals_of_a_trial_that_is_lost_and_comes_again_wait_for_it(monkeypatch):
    monkeypatch.setattr("test_hyperband.FAILS", {})
    monkeypatch.setattr("test_hyperband.EARLY", {})
    tune = Tune()
    lost, *others = SECOND
    run_alone(tune, others, 3)
    trial = tune.trials[int(lost[1:])]
    trial.set_status(Trial.ERROR)
    tune.scheduler.on_trial_error(tune, trial)
    trial.set_status(Trial.PENDING)
    tune.scheduler.on_trial_add(tune, trial)
    assert not tune.journal
    run_alone(tune, [lost], 3)
    assert len(tune.journal) == 3  # of five two go on


def test_a_trial_that_fails_after_a_cut_does_not_leave_its_rivals_waiting(monkeypatch):
    monkeypatch.setattr("test_hyperband.FAILS", {})
    tune = Tune()
    run_alone(tune, THIRD, 1)
    last, *others = sorted(set(THIRD) - set(tune.journal))
    run_alone(tune, others, 2)
    waiting = {trial for trial in tune.trials if trial.trial_id in others}
    monkeypatch.setattr("test_hyperband.FAILS", {last: 1})
    run_alone(tune, [last], 1)
    (bracket,) = {tune.scheduler._trial_info[trial][0] for trial in waiting}
    assert len(waiting & bracket.trials_to_unpause) == 1
