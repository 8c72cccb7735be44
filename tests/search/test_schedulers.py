"""Which trials go on: rungs, what population-based training may change, and what earlier sessions teach."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from trial_records import job

from nn_train.config.space import drawn, parse_space
from nn_train.errors import RequestError
from nn_train.search.algorithms import listed_draws
from nn_train.search.rungs import rungs
from nn_train.search.schedulers import inside, make_scheduler, replay

GOOD = [0.90, 0.91, 0.92, 0.93]


def domains(given):
    return drawn(parse_space(given, job()))


def decision(scheduler, value, epoch=1, name="new"):
    """What a scheduler says to a trial that reaches ``value`` after ``epoch``."""
    trial = Trial("trainable", trial_id=name, stub=True)
    scheduler.on_trial_add(None, trial)
    return scheduler.on_trial_result(None, trial, {"epoch": epoch, "value": value, "training_iteration": epoch})


@pytest.mark.parametrize(
    ("epochs", "search", "expected"),
    [
        (1, {}, ()),
        (4, {}, (1,)),
        (5, {}, (1, 4)),
        (64, {}, (1, 4, 16)),
        (8, {"reduction_factor": 2}, (1, 2, 4)),
        (8, {"grace_epochs": 3, "reduction_factor": 2}, (3, 6)),
        (8, {"grace_epochs": 8}, ()),
        (8, {"scheduler": "none"}, ()),
        (8, {"scheduler": "hyperband"}, ()),
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
    ("name", "kind"),
    [
        ("none", "FIFOScheduler"),
        ("asha", "AsyncHyperBandScheduler"),
        ("hyperband", "HyperBandScheduler"),
        ("median", "MedianStoppingRule"),
        ("pbt", "PopulationBasedTraining"),
    ],
)
def test_every_name_is_a_scheduler_of_ray_tune(name, kind):
    scheduler = make_scheduler(job(scheduler=name), domains({"model.dropout": {"uniform": [0, 0.5]}}))
    assert kind in {base.__name__ for base in type(scheduler).__mro__}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model.hidden_units": {"integer": [4, 8]}}, "search.space.model.hidden_units: population-based training"),
        ({"optimizer.name": {"choice": ["adam", "sgd"]}}, "so it can vary only optimizer.learning_rate"),
        ({"seed": {"choice": [1, 2]}}, "search.space.seed: population-based training"),
    ],
)
def test_population_based_training_refuses_what_makes_another_model(given, said):
    with pytest.raises(RequestError) as caught:
        make_scheduler(job(scheduler="pbt"), domains(given))
    assert said in str(caught.value)
    make_scheduler(job(scheduler="asha"), domains(given))


@pytest.mark.parametrize(
    ("spec", "perturbed", "kept"),
    [
        ({"uniform": [0.1, 0.5]}, 0.6, 0.5),
        ({"uniform": [0.1, 0.5]}, 0.08, 0.1),
        ({"uniform": [0.1, 0.5]}, 0.3, 0.3),
        ({"quantized": [0.1, 0.5, 0.1]}, 0.6, 0.5),
        ({"quantized": [0.1, 0.5, 0.1]}, 0.24, 0.2),
        ({"choice": [0.1, 0.3]}, 0.3, 0.3),
    ],
)
def test_perturbed_numbers_stay_in_their_range(spec, perturbed, kept):
    assert inside({"model.dropout": perturbed}, domains({"model.dropout": spec})) == {"model.dropout": kept}


@pytest.mark.parametrize(
    ("mode", "earlier", "bad", "good"),
    [("max", [GOOD] * 8, 0.1, 0.99), ("min", [[0.3, 0.2, 0.1, 0.05]] * 8, 0.9, 0.01)],
)
def test_asha_judges_new_trials_by_those_of_an_earlier_session(mode, earlier, bad, good):
    scheduler = make_scheduler(job(mode=mode), {})
    assert decision(scheduler, bad) == TrialScheduler.CONTINUE, "nothing is known yet"
    scheduler = make_scheduler(job(mode=mode), {})
    replay(scheduler, earlier)
    assert decision(scheduler, bad, name="bad") == TrialScheduler.STOP
    assert decision(scheduler, good, name="good") == TrialScheduler.CONTINUE


def test_the_median_rule_judges_new_trials_by_those_of_an_earlier_session():
    scheduler = make_scheduler(job(scheduler="median"), {})
    replay(scheduler, [GOOD] * 4)
    assert decision(scheduler, 0.1, epoch=2, name="bad") == TrialScheduler.STOP
    assert decision(scheduler, 0.99, epoch=2, name="good") == TrialScheduler.CONTINUE


def test_without_a_scheduler_nothing_is_taught():
    scheduler = make_scheduler(job(scheduler="none"), {})
    replay(scheduler, [GOOD] * 4)
    assert decision(scheduler, 0.1) != TrialScheduler.STOP


def test_the_next_trial_is_looked_for_among_those_that_have_not_ended():
    def trial(name, status):
        made = Trial("t", config={"trial": name}, trial_id=name, stub=True)
        made.status = status
        return made

    class Controller:
        def get_live_trials(self):
            return {
                trial("t00003", "PENDING"),
                trial("t00001", "RUNNING"),
                trial("t00002", "PAUSED"),
                trial("t00004", "PENDING"),
            }

    for scheduler in ("none", "asha", "median"):
        chosen = make_scheduler(job(scheduler=scheduler), {}).choose_trial_to_run(Controller())
        assert chosen.config["trial"] == "t00003"


def test_a_trial_that_takes_over_anothers_numbers_keeps_its_name():
    def trial(name, dropout):
        return Trial("t", config={"trial": name, "draws": {"model.dropout": dropout}}, trial_id=name, stub=True)

    scheduler = make_scheduler(job(scheduler="pbt"), domains({"model.dropout": {"uniform": [0, 0.5]}}))
    config, _ = scheduler._get_new_config(trial("t00001", 0.1), trial("t00002", 0.4))
    assert config["trial"] == "t00001"
    assert 0 <= config["draws"]["model.dropout"] <= 0.5


@pytest.mark.parametrize(
    ("field", "spec", "allowed"),
    [
        ("train.batch_size", {"choice": [64, 16, 128]}, [64, 16, 128]),
        ("model.dropout", {"choice": [None, 0.3]}, [None, 0.3]),
        ("train.batch_size", {"grid": [16, 64]}, [16, 64]),
        ("train.batch_size", {"integer": [3, 6]}, range(3, 7)),
        ("train.batch_size", {"quantized": [16, 80, 16]}, range(16, 81, 16)),
        ("optimizer.decay_steps", {"log_integer": [1, 6]}, range(1, 7)),
        ("optimizer.learning_rate", {"quantized": [0.01, 0.1, 0.01]}, [step / 100 for step in range(1, 11)]),
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


def test_a_population_goes_to_the_next_number_of_a_choice(monkeypatch):
    monkeypatch.setattr("random.random", lambda: 1.0)  # nothing is drawn anew
    scheduler = make_scheduler(job(scheduler="pbt"), domains({"train.batch_size": {"choice": [64, 16, 128]}}))
    one = Trial("t", config={"trial": "t", "draws": {"train.batch_size": 16}}, trial_id="t", stub=True)
    found = {scheduler._get_new_config(one, one)[0]["draws"]["train.batch_size"] for _ in range(50)}
    assert found == {16, 64}
