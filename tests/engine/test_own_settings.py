"""A setting that a function of the user's does not read is refused; one that it reads is taken."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from nn_train.config import config_from_dict
from nn_train.engine.own_settings import refuse_unread, watched
from nn_train.errors import RequestError

COMPILED = ("optimizer", "train.loss", "train.metrics")


def job(**sections):
    return config_from_dict({**sections, "model": {"name": "my:build", **sections.get("model", {})}})


def reads_nothing(config):
    pass


def reads_dropout(config):
    assert config.model.dropout == 0.3


def reads_all(config):
    assert dataclasses.asdict(config.model)["dropout"] == 0.3


def reads_by_vars(config):
    assert vars(config.model)["dropout"] == 0.3


def reads_the_rate(config):
    assert config.optimizer.learning_rate == 0.1
    assert config.job_name


@pytest.mark.parametrize(
    ("sections", "compiled", "function"),
    [
        ({}, True, reads_nothing),
        ({"optimizer": {"learning_rate": 0.1}, "train": {"loss": "mse", "epochs": 2}}, False, reads_nothing),
        ({"model": {"dropout": 0.3}}, True, reads_dropout),
        ({"model": {"dropout": 0.3}}, False, reads_all),
        ({"model": {"dropout": 0.3}}, False, reads_by_vars),
        # The callbacks may read it, later.
        ({"optimizer": {"learning_rate": 0.1}, "train": {"callbacks": "my:calls"}}, True, reads_nothing),
        ({"optimizer": {"learning_rate": 0.1}}, True, reads_the_rate),
    ],
)
def test_what_is_read_is_taken(sections, compiled, function):
    config = job(**sections)
    given, read = watched(config)
    function(given)
    refuse_unread(config, read, COMPILED if compiled else ())


@pytest.mark.parametrize(
    ("sections", "compiled", "function", "said"),
    [
        ({"model": {"dropout": 0.3}}, False, reads_nothing, "model.dropout: would change nothing"),
        ({"model": {"dropout": 0.3, "l2": 0.1}}, False, reads_dropout, "model.l2: would change nothing"),
        ({"optimizer": {"learning_rate": 0.1, "name": "sgd"}}, True, reads_the_rate, "optimizer.name: would change"),
        ({"optimizer": {"learning_rate": 0.1}}, True, reads_nothing, "my:build compiles its model and does not read"),
        ({"optimizer": {"args": {"beta_1": 0.8}}}, True, reads_nothing, "optimizer.args: would change nothing"),
        ({"train": {"loss": "mse"}}, True, reads_nothing, "read config.train.loss"),
        ({"train": {"metrics": ["AUC"]}}, True, reads_nothing, "read config.train.metrics"),
    ],
)
def test_what_is_not_read_is_refused_by_name(sections, compiled, function, said):
    config = job(**sections)
    given, read = watched(config)
    function(given)
    with pytest.raises(RequestError, match=said):
        refuse_unread(config, read, COMPILED if compiled else ())


def test_a_watched_config_is_the_same_config():
    given, _ = watched(config := job(model={"dropout": 0.3}))
    assert dataclasses.asdict(given) == dataclasses.asdict(config)
    assert isinstance(given.model, type(config.model))
    assert given.model == config.model == given.model
    assert given.model != config_from_dict({"model": {"dropout": 0.2}}).model
    for again in (pickle.loads(pickle.dumps(given)), copy.deepcopy(given)):
        assert again == config


def test_what_a_search_varies_must_be_read_whatever_its_value():
    config = job()
    given, read = watched(config)
    reads_nothing(given)
    refuse_unread(config, read, COMPILED)
    for varied, said in (
        ("optimizer.learning_rate", "optimizer.learning_rate"),
        ("optimizer.args.beta_1", "optimizer.args"),
        ("model.dropout", "model.dropout"),
    ):
        with pytest.raises(RequestError, match=f"{said}: would change nothing"):
            refuse_unread(config, read, COMPILED, [varied])
    refuse_unread(config, read, (), ["optimizer.learning_rate", "train.batch_size", "model.args.depth"])
