"""Which configs a pipeline makes of one job file."""

from __future__ import annotations

import pytest

from nn_train.config import config_from_dict
from nn_train.errors import RequestError
from nn_train.pipeline.stages import model_stages

SPACE = {"optimizer.learning_rate": {"loguniform": [1e-3, 1e-2]}}


def pipeline(models, **sections):
    return config_from_dict({"name": "all", "pipeline": {"models": models, "seeds": 2}, **sections})


def test_a_model_with_a_space_is_searched_and_trained_from_every_seed():
    config = pipeline({"wide": {"model": {"hidden_units": 512}}}, search={"space": SPACE}, seed=5)
    (stages,) = model_stages(config, {}, quick=False)
    assert (stages.search.job_name, stages.search.scaling.num_workers) == ("search_wide", 1)
    assert stages.search.search.space == SPACE
    trainings = stages.trainings({"optimizer.learning_rate": 0.003})
    assert [(one.job_name, one.seed) for one in trainings] == [("wide_seed5", 5), ("wide_seed6", 6)]
    for one in (stages.search, *trainings):
        assert one.run.storage_path == "results/all"
        assert one.model.hidden_units == 512
    assert [one.optimizer.learning_rate for one in trainings] == [0.003, 0.003]
    assert [one.scaling.num_workers for one in trainings] == [2, 2]


def test_a_model_without_a_space_is_only_trained():
    (stages,) = model_stages(pipeline({"plain": None}), {}, quick=False)
    assert stages.search is None
    assert [one.job_name for one in stages.trainings({})] == ["plain_seed0", "plain_seed1"]


@pytest.mark.parametrize(
    ("overrides", "quick", "epochs", "seeds"),
    [
        ({}, False, 7, 2),  # the model's own entry
        ({}, True, 2, 1),  # the section quick wins over it
        ({"train.epochs": "3"}, True, 3, 1),  # the command line wins over both
        ({"train.epochs": "3", "pipeline.seeds": "4"}, False, 3, 4),
    ],
)
def test_what_is_said_last_wins(overrides, quick, epochs, seeds):
    config = pipeline({"a": {"train": {"epochs": 7}}})
    small = {"train": {"epochs": 2}, "pipeline": {"seeds": 1}, "name": "small"}
    flat = {"name": "all", "train": {"epochs": 9}, "pipeline": {**config.pipeline.__dict__, "quick": small}}
    (stages,) = model_stages(config_from_dict(flat), overrides, quick)
    trainings = stages.trainings({})
    assert [one.train.epochs for one in trainings] == [epochs] * seeds
    assert trainings[0].run.storage_path == ("results/small" if quick else "results/all")


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({}, "pipeline.models: is empty"),
        ({"a": {"train": {"epoch": 3}}}, "pipeline.models.a: train.epoch: no such field; did you mean 'train.epochs'"),
        ({"a": {"name": "b"}}, "pipeline.models.a: name belongs to the whole pipeline"),
        ({"a": 3}, "pipeline.models.a: expected sections below it, got 3"),
    ],
)
def test_a_wrong_entry_is_refused_by_its_name(models, said):
    with pytest.raises(RequestError) as refusal:
        model_stages(pipeline(models), {}, quick=False)
    assert said in str(refusal.value)
