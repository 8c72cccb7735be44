"""Which trials go on: rungs, what population-based training may change, and that nobody waits forever."""

from __future__ import annotations

import dataclasses
import itertools
import random

import numpy as np
import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from trial_records import job

from nn_train.config.space import drawn, parse_space
from nn_train.errors import RequestError
from nn_train.search.algorithms import listed_draws
from nn_train.search.planning import rungs
from nn_train.search.schedulers import make_scheduler


def domains(given):
    return drawn(parse_space(given, job()))


@pytest.mark.parametrize(
    ("epochs", "search", "expected"),
    [
        (1, {}, ()),
        (64, {}, (1, 4, 16)),
        (8, {"reduction_factor": 2}, (1, 2, 4)),
        (8, {"grace_epochs": 3, "reduction_factor": 2}, (3, 6)),
        (8, {"scheduler": "none"}, ()),
    ],
)
def test_the_rungs_of_asha(epochs, search, expected):
    assert rungs(job(epochs=epochs, **search)) == expected


@pytest.mark.parametrize("epochs", [1, 4, 8, 9, 27])
def test_the_rungs_are_those_of_ray_tune(epochs):
    config = job(epochs=epochs, reduction_factor=3)
    of_tune = sorted(milestone for milestone, _ in make_scheduler(config, {})._brackets[0]._rungs)
    assert [milestone for milestone in of_tune if milestone < epochs] == list(rungs(config))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model.hidden_units": {"integer": [4, 8]}}, "search.space.model.hidden_units: population-based training"),
        ({"optimizer.name": {"choice": ["adam", "sgd"]}}, "so it can vary only optimizer.learning_rate"),
    ],
)
def test_population_based_training_refuses_what_makes_another_model(given, said):
    with pytest.raises(RequestError) as caught:
        make_scheduler(job(scheduler="pbt"), domains(given))
    assert said in str(caught.value)
    with pytest.raises(RequestError, match="take random or grid, not tpe"):
        make_scheduler(job(scheduler="pbt", algorithm="tpe"), domains({}))
    make_scheduler(job(scheduler="asha"), domains(given))


class Tune:
    """Tune's controller, as far as HyperBand needs it: two trials run at a time, one epoch each in turn."""

    def __init__(self, scheduler, fails):
        self.scheduler, self.fails = scheduler, fails
        self.ended, self.epochs = {}, {}
        self.trials = [Trial("t", config={"trial": name}, trial_id=name, stub=True) for name in TRIALS]
        for trial in self.trials:
            scheduler.on_trial_add(self, trial)

    def get_live_trials(self):
        return [trial for trial in self.trials if trial.trial_id not in self.ended]

    def stop_trial(self, trial):
        self.end(trial, "stopped")

    def end(self, trial, how):
        self.ended[trial.trial_id] = how
        trial.set_status(Trial.TERMINATED)
        self.scheduler.on_trial_complete(self, trial, {})

    def run(self, order):
        running = []
        while self.get_live_trials():
            while len(running) < 2 and (trial := self.scheduler.choose_trial_to_run(self)) is not None:
                trial.set_status(Trial.RUNNING)
                running.append(trial)
            assert running, f"all wait for each other: {self.get_live_trials()}"
            self.epoch(running[order % len(running)])
            running = [trial for trial in running if trial.status == Trial.RUNNING]

    def epoch(self, trial):
        name = trial.trial_id
        epoch = self.epochs[name] = self.epochs.get(name, 0) + 1
        if name in self.fails and epoch > self.fails[name]:
            return self.end(trial, "failed")
        if epoch == 9:
            return self.end(trial, "completed")
        result = {"epoch": epoch, "value": (int(name[1:]) * 37 % 101 + epoch) / 1000}
        decision = self.scheduler.on_trial_result(self, trial, result)
        trial.run_metadata.last_result = result
        if decision == TrialScheduler.PAUSE:
            trial.set_status(Trial.PAUSED)
        elif decision == TrialScheduler.STOP:
            self.end(trial, "stopped")
        return None


TRIALS = [f"t{index:05d}" for index in range(17)]  # brackets of 3, 5 and 9, with cuts after epochs 3, and 1 and 3


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("fails", [{}, *({name: 1, other: 2} for name, other in itertools.pairwise(TRIALS))])
def test_in_hyperband_nobody_waits_for_a_trial_that_fails(fails, order):
    tune = Tune(make_scheduler(job(scheduler="hyperband", epochs=9, reduction_factor=3), {}), fails)
    tune.run(order)
    assert set(tune.ended) == set(TRIALS)
    assert {"completed", "stopped"} <= set(tune.ended.values())


@pytest.mark.parametrize(
    ("field", "spec", "allowed"),
    [
        ("train.batch_size", {"choice": [64, 16, 128]}, [64, 16, 128]),
        ("model.dropout", {"choice": [None, 0.3]}, [None, 0.3]),
        ("train.batch_size", {"integer": [3, 6]}, range(3, 7)),
        ("optimizer.learning_rate", {"quantized": [0.3, 0.9, 0.3]}, [0.3, 0.6, 0.9]),
    ],
)
def test_a_population_trains_only_with_values_of_its_space(field, spec, allowed):
    algorithm = "grid" if "grid" in spec else "random"
    given = domains({field: spec})
    scheduler = make_scheduler(job(scheduler="pbt", algorithm=algorithm), given)
    random.seed(0)
    np.random.seed(0)  # which Ray Tune draws from
    draws = listed_draws(dataclasses.replace(job().search, algorithm=algorithm), given, seed=0)[0]
    seen = []
    for _ in range(300):
        one = Trial("t", config={"trial": "t00001", "draws": draws}, trial_id="t00001", stub=True)
        draws = scheduler._get_new_config(one, one)[0]["draws"]
        seen.append(draws[field])
    assert (None in seen) == (None in allowed)
    numbers, expected = ([value for value in values if value is not None] for values in (seen, allowed))
    assert sorted(set(numbers)) == pytest.approx(sorted(expected), abs=1e-12)
    assert {type(value) for value in numbers} == {type(value) for value in expected}
