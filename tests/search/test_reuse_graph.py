"""Trials of a user's model in one process, with and without ``search.reuse_graph``, and runs of their own."""

from __future__ import annotations

import itertools
import weakref

import numpy as np
import pytest
import reuse_models
from test_warm_callbacks import worker_of

from nn_train.config import config_from_dict
from nn_train.errors import RequestError
from nn_train.storage.folder import ResultsFolder

WORDS = {"data": {"source": "reuse_models:words"}}
FIRST = {"optimizer": {"learning_rate": 0.02}, "model": {"dropout": 0.2, "l2": 0.01}}
OTHER = {"optimizer": {"learning_rate": 0.005}, "model": {"dropout": 0.4, "l2": 0.002}, "seed": 3}
SMALL = {"optimizer": {"learning_rate": 0.005}, "model": {"dropout": 0.4, "l2": 0.002, "args": {"cells": 4}}}
DECAYING = {"name": "adamw", "schedule": "cosine", "warmup_steps": 2, "learning_rate": 0.02}
LESS = {"optimizer": {**DECAYING, "learning_rate": 0.005, "args": {"weight_decay": 0.3}}, "model": {"dropout": 0.1}}
DECAYING = {"optimizer": {**DECAYING, "args": {"weight_decay": 0.02}}, "model": {"dropout": 0.3}}


def job(function, sections, reuse_graph=True, **train):
    given = {"data": {"source": "user_data:arrays"}, "scaling": {"num_workers": 1}, **sections}
    model = {**sections.get("model", {}), "name": f"reuse_models:{function}"}
    train = {"batch_size": 24 if "seed" in sections else 16, "epochs": 2, **train}
    return config_from_dict({**given, "model": model, "train": train, "search": {"reuse_graph": reuse_graph}})


@pytest.fixture(scope="module")
def replicas():
    import tensorflow as tf

    from nn_train.engine.strategy import Replicas

    return Replicas(strategy=tf.distribute.get_strategy(), rank=0, size=1)


def trained(loop):
    """What two epochs give, and the weights afterwards."""
    rows = [{**loop.train_epoch(epoch), **{f"val_{k}": v for k, v in loop.evaluate().items()}} for epoch in range(2)]
    return rows, [np.asarray(weight.value) for weight in loop.model.weights]


@pytest.mark.tf
@pytest.mark.parametrize(
    ("function", "trials", "shared"),
    [
        ("plain", [FIRST, OTHER, FIRST], [0, 1, 2]),
        ("two_outputs", [FIRST | WORDS, OTHER | WORDS, SMALL | WORDS, FIRST | WORDS], [0, 0, 1, 0]),
        ("plain", [FIRST, OTHER, {**FIRST, "model": {"dropout": 0.0, "l2": 0.01}}, FIRST], [0, 0, 1, 0]),
        ("plain", [DECAYING, LESS], [0, 0]),
        ("own_step", [FIRST, OTHER, FIRST], [0, 0, 0]),
        ("drawn", [FIRST, FIRST, OTHER], [0, 0, 0]),
    ],
    ids=["without", "two_outputs", "plain", "decaying", "own_step", "drawn"],
)
def test_trials_have_the_numbers_of_runs_of_their_own(replicas, function, trials, shared):
    """``shared``: the number of its graph, for each trial; without ``search.reuse_graph`` each has its own."""
    from nn_train.datasets import load_data
    from nn_train.engine.preparation import prepare_model
    from nn_train.search.warm.models import WarmModels

    models, found, of_runs = WarmModels(replicas), [], {}
    for sections in trials:
        config = job(function, sections, reuse_graph=max(shared) < len(trials) - 1)
        data = load_data(config.data)
        if str(sections) not in of_runs:
            of_runs[str(sections)] = trained(prepare_model(config, data, replicas).loop())
        rows, weights = of_runs[str(sections)]
        found.append(models.get(config, data))
        trial_rows, trial_weights = trained(found[-1].loop)
        assert trial_rows == [pytest.approx(row, rel=1e-6) for row in rows]
        for one, other in zip(trial_weights, weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    graphs = {id(warm): None for warm in found}
    numbers = [list(graphs).index(id(warm)) for warm in found]
    assert numbers == shared


@pytest.mark.tf
def test_a_graph_that_no_other_trial_gets_is_given_back(replicas, tmp_path):
    worker, models = worker_of(replicas), []
    for number in range(3):
        assert worker.begin(job("plain", FIRST, False), ResultsFolder(str(tmp_path), f"trials/{number}"), {}) == ""
        assert not worker.epoch().cause
        models.append(weakref.ref(worker.model.loop.model))
    assert [one() is None for one in models] == [True, True, False]


@pytest.mark.tf
@pytest.mark.parametrize(
    ("function", "how"),
    [
        ("wider_each_time", "have other variables or optimizers"),
        ("scaling", "have other losses"),
    ],
)
def test_a_builder_that_breaks_the_promise_is_refused_at_the_first_use_of_its_graph(replicas, function, how):
    from nn_train.datasets import load_data
    from nn_train.search.warm.models import WarmModels

    reuse_models.calls = itertools.count()
    models, data = WarmModels(replicas), load_data(job(function, FIRST).data)

    def trials():
        for sections in (FIRST, OTHER):
            trained(models.get(job(function, sections), data).loop)

    with pytest.raises(RequestError, match=rf"^search\.reuse_graph: two models .* {how}") as caught:
        trials()
    assert "set search.reuse_graph to false" in str(caught.value)
    assert "\n" not in str(caught.value)
