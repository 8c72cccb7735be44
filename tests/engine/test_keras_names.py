"""``optimizer.name``, ``optimizer.args``, ``train.loss`` and ``train.metrics``, looked up in the installed Keras."""

from __future__ import annotations

import importlib.util

import pytest
from tiers import of_newer_keras

from nn_train.config import config_from_dict
from nn_train.config.cli import parse_arguments
from nn_train.config.space import parse_space
from nn_train.engine.keras_names import check_keras_names, column_of, keras_class
from nn_train.errors import RequestError

pytestmark = pytest.mark.tf
NEWER = "ScheduleFreeAdamW"


def check(config):
    check_keras_names(config.optimizer, config.train)


@pytest.mark.parametrize(
    ("module", "name", "named"),
    [
        ("optimizers", "adam", "Adam"),
        ("optimizers", "lion", "Lion"),
        pytest.param("optimizers", NEWER, NEWER, marks=of_newer_keras()),
        ("losses", "cross_entropy", "SparseCategoricalCrossentropy"),
        ("losses", "HUBER", "Huber"),
        ("losses", "mae", "MeanAbsoluteError"),
        ("losses", "categorical_focal_crossentropy", "CategoricalFocalCrossentropy"),
        ("metrics", "true_positives", "TruePositives"),
    ],
)
def test_a_name_is_that_of_a_class_a_function_or_a_short_one(module, name, named):
    assert keras_class("field", module, name).__name__ == named


@pytest.mark.parametrize(
    "words",
    [
        ["--optimizer.name", "Lion", "--optimizer.args.beta_1", "0.95"],
        ["--optimizer.args", "{amsgrad: true, clipnorm: 1, rho: none}"],
        ["--train.loss", "Huber", "--train.metrics", "[AUC, {auc: {name: pr, curve: PR}}, F1Score]"],
        pytest.param(["--optimizer.name", NEWER, "--optimizer.args.warmup_steps", "5"], marks=of_newer_keras()),
    ],
)
def test_what_keras_takes_is_taken(words):
    check(parse_arguments(words).config)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--train.loss", "hubr"], "train.loss: 'hubr' is not known; did you mean 'Huber'"),
        (["--train.loss", "CTC"], "'CTC' is not known; allowed: cross_entropy, mse, mae, mape, msle, kld, Binary"),
        (["--train.loss", "get"], "'get' is not known"),
        (["--optimizer.name", "lyon"], "optimizer.name: 'lyon' is not known; did you mean 'Lion'?"),
        (["--optimizer.name", "LossScaleOptimizer"], "'LossScaleOptimizer' is not known"),
        (["--optimizer.args.beta1", "1"], "optimizer.args.beta1: Adam takes no argument of that name here; did you"),
        (["--optimizer.name", "sgd", "--optimizer.args.rho", "1"], "SGD takes no argument of that name here; it takes"),
        (["--optimizer.args.self", "1"], "takes no argument of that name"),
        (["--train.metrics", "F1Scor"], "train.metrics: 'F1Scor' is not known; did you mean 'F1Score'"),
        (["--train.metrics", "MeanIoU"], "'MeanIoU' is not known; did you mean 'OneHotMeanIoU'"),
        (["--train.metrics", "AUC,AUC"], "the column auc is there already; give this one a name: {AUC: {name: …}}"),
        (["--train.metrics", "{AUC: {name: val_loss}}"], "the column val_loss is there already"),
        (["--train.metrics", "[F1Score, {AUC: {name: f1_score_0}}]"], "the column f1_score_0 is there already"),
        (["--train.metrics", "{AUC: {curv: PR}}"], "train.metrics: AUC.curv: AUC takes no argument of that name here"),
        (["--train.metrics", "{AUC: {dtype: float64}}"], "AUC.dtype: AUC takes no argument of that name"),
        (["--train.metrics", "PrecisionAtRecall"], "PrecisionAtRecall needs recall; give {recall: VALUE}"),
    ],
)
def test_what_keras_does_not_take_is_refused_by_name(words, said):
    with pytest.raises(RequestError) as refused:
        check(parse_arguments(words).config)
    assert said in str(refused.value)


def test_columns_have_the_names_that_keras_gives():
    metrics = config_from_dict({"train": {"metrics": ["AUC", "F1Score", "kld", {"auc": {"name": "pr"}}]}}).train.metrics
    assert [column_of(metric) for metric in metrics] == ["auc", "f1_score", "kl_divergence", "pr"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer.args.beta1": {"uniform": [0.8, 0.9]}}, "search.space.optimizer.args.beta1: .* did you mean"),
        ({"optimizer.name": {"choice": ["adam", "Nadm"]}}, "search.space.optimizer.name: .* did you mean 'Nadam'"),
        (
            {"optimizer.name": {"choice": ["adam", "sgd"]}, "optimizer.args.beta_1": {"uniform": [0.8, 0.9]}},
            "search.space.optimizer.args.beta_1: optimizer.args.beta_1: SGD takes no argument of that name",
        ),
        (  # the optimizer depends on the model, and its arguments on that too
            {
                "optimizer.name": {"by": {"model.name": {"mlp": "sgd", "cnn": "adam"}}},
                "model.name": {"choice": ["mlp", "cnn"]},
                "optimizer.args.momentum": {"by": {"model.name": {"mlp": {"uniform": [0.1, 0.9]}, "cnn": 0.1}}},
            },
            "Adam takes no argument of that name",
        ),
        ({"optimizer.name": {"choice": ["sgd", "rmsprop"]}, "optimizer.args.momentum": {"uniform": [0, 0.9]}}, None),
    ],
)
def test_the_values_of_a_search_are_looked_up_too(given, said):
    if said is None:
        assert set(parse_space(given, config_from_dict({}), check)) == set(given)
        return
    with pytest.raises(RequestError, match=said):
        parse_space(given, config_from_dict({}), check)


def test_where_keras_is_not_installed_the_workers_look(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check(config_from_dict({"optimizer": {"name": "Newest"}, "train": {"metrics": [{"Newest": {"k": 1}}]}}))
