"""``optimizer.name``, ``optimizer.args`` and ``train.loss``: Keras' own names, from its source."""

from __future__ import annotations

import pytest
from tiers import of_newer_keras

from nn_train.config import config_from_dict, config_to_dict, dump_yaml, keras_names, read_config
from nn_train.config.cli import parse_arguments
from nn_train.config.space import parse_space, resolve, with_values
from nn_train.errors import RequestError


@pytest.mark.parametrize(
    ("words", "name", "args"),
    [
        ([], "adam", {}),
        (["--optimizer.name", "Lion"], "Lion", {}),
        (["--optimizer.args.beta_1", "0.95"], "adam", {"beta_1": 0.95}),
        (["--optimizer.args", "{beta_1: 1, amsgrad: true}"], "adam", {"beta_1": 1, "amsgrad": True}),
        (["--optimizer.args.epsilon", "1e-5", "--optimizer.name", "Nadam"], "Nadam", {"epsilon": 1e-5}),
        pytest.param(
            ["--optimizer.args.warmup_steps", "5", "--optimizer.name", "ScheduleFreeAdamW"],
            "ScheduleFreeAdamW",
            {"warmup_steps": 5},
            marks=of_newer_keras(),
        ),
        (["--optimizer.name", "lion"], "Lion", {}),
        (["--optimizer.name", "Adam"], "adam", {}),
        (["--optimizer.args.clipnorm", "1"], "adam", {"clipnorm": 1}),
        (["--optimizer.args.weight_decay", "0.01", "--optimizer.name", "adamw"], "adamw", {"weight_decay": 0.01}),
        (["--optimizer.args.beta_1", "none"], "adam", {}),
        (["--optimizer.args", "{beta_1: none, rho: null}"], "adam", {}),
    ],
)
def test_what_keras_takes_is_taken(words, name, args):
    optimizer = parse_arguments(words).config.optimizer
    assert (optimizer.name, optimizer.args) == (name, args)


@pytest.mark.parametrize(
    ("loss", "named"),
    [
        ("cross_entropy", "SparseCategoricalCrossentropy"),
        ("mse", "MeanSquaredError"),
        ("Huber", "Huber"),
        ("huber", "Huber"),
        ("HUBER", "Huber"),
        ("mae", "MeanAbsoluteError"),
        ("kl_divergence", "KLDivergence"),
        ("categorical_focal_crossentropy", "CategoricalFocalCrossentropy"),
    ],
)
def test_a_loss_is_named_by_its_class_or_function(loss, named):
    taken = parse_arguments(["--train.loss", loss]).config.train.loss
    assert taken == (loss if loss in ("cross_entropy", "mse") else named)  # one name for each
    assert keras_names.class_named("losses", taken) == named


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--train.loss", "hubr"], "train.loss: 'hubr' is not known; did you mean 'Huber'"),
        (
            ["--train.loss", "CTC"],
            "'CTC' is not known; allowed: cross_entropy, mse, mae, mape, msle, kld, BinaryCrossentropy, ",
        ),
        (["--train.loss", "circle"], "'circle' is not known"),
        (["--train.loss", "Loss"], "'Loss' is not known"),
        (["--train.loss", "get"], "'get' is not known"),
        (["--optimizer.name", "lyon"], "optimizer.name: 'lyon' is not known; did you mean 'Lion'[?]"),
        (["--optimizer.name", "adma"], "'adma' is not known; did you mean '.*'adam' or .*[?]"),
        (["--optimizer.name", "Zzz"], "allowed: adam, adamw, sgd, rmsprop, Adadelta, "),
        (["--optimizer.name", "Optimizer"], "'Optimizer' is not known"),
        (["--optimizer.name", "LossScaleOptimizer"], "'LossScaleOptimizer' is not known"),
        (["--optimizer.name", "deserialize"], "'deserialize' is not known"),
        (["--optimizer.name", "my:build"], "'my:build' is not known"),
        (["--optimizer.args.learning_rate", "1"], "says it; give --optimizer.learning_rate VALUE$"),
        (
            ["--optimizer.args.name", "a"],
            "optimizer.args.name: is set here; which optimizer it is, optimizer.name says",
        ),
        (["--optimizer.args.warmup_steps", "5"], "the field optimizer.warmup_steps says it"),
        (["--optimizer.args.weight_decay", "abc"], "'abc' is not a finite number"),
        (["--optimizer.args.clipnorm", "true"], "True is not a finite number"),
        (["--optimizer.args.gradient_accumulation_steps", "1.5"], "1.5 is not a whole number"),
        (["--optimizer.name", "muon", "--optimizer.args.ns_steps", "2.5"], "2.5 is not a whole number"),
        (["--optimizer.args.beta1", "0.9"], "optimizer.args.beta1: Adam takes no argument of that name; did you mean"),
        (["--optimizer.name", "sgd", "--optimizer.args.rho", "0.9"], "SGD takes no .*; it takes: momentum, nesterov"),
        (["--optimizer.args.self", "1"], "takes no argument of that name"),
        (["--optimizer.args.beta_1", "high"], "optimizer.args.beta_1: 'high' is not a finite number; its default is"),
        (["--optimizer.args.beta_1", ".inf"], "is not a finite number"),
        (["--optimizer.args.beta_1", "true"], "is not a finite number"),
        (["--optimizer.args.amsgrad", "1"], "optimizer.args.amsgrad: 1 is not true or false"),
        (["--optimizer.args", "{beta_1: {a: 1}}"], "is not a number, a text"),
        (["--optimizer.args.a-b", "1"], "no such field"),
        (["--optimizer.args", "[1]"], "optimizer.args: expected 'section:' lines"),
    ],
)
def test_what_keras_does_not_take_is_refused_by_name(words, said):
    with pytest.raises(RequestError, match=said):
        parse_arguments(words)


def test_they_come_back_from_a_job_file(tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("optimizer: {name: Nadam, args: {beta_1: 0.8, clipnorm: 1e-1}}\n")
    config = parse_arguments(["--config", str(file), "--optimizer.args.beta_1", "0.7"]).config
    assert config.optimizer.args == {"beta_1": 0.7, "clipnorm": 0.1}
    file.write_text(dump_yaml(config))
    assert read_config(str(file), {}) == config == config_from_dict(config_to_dict(config))
    assert len({config.optimizer, config_from_dict({}).optimizer}) == 2


def test_where_keras_is_not_found_every_name_is_taken(monkeypatch):
    monkeypatch.setattr(keras_names, "exported", lambda module: {})
    monkeypatch.setattr(keras_names, "defaults", lambda module, name: None)
    optimizer = config_from_dict({"optimizer": {"name": "Newest", "args": {"depth": 3}}}).optimizer
    assert optimizer.args == {"depth": 3}


def test_a_search_varies_them_by_the_optimizer():
    base = config_from_dict({})
    given = {
        "optimizer.name": {"choice": ["adam", "sgd"]},
        "optimizer.args.beta_1": {"by": {"optimizer.name": {"adam": {"uniform": [0.8, 0.99]}, "sgd": "none"}}},
        "optimizer.args.momentum": {"by": {"optimizer.name": {"sgd": 0.9, "adam": None}}},
        "optimizer.args.clipnorm": {"choice": [None, 1.0]},
    }
    space = parse_space(given, base)
    values = resolve(
        space, {"optimizer.name": "adam", "optimizer.args.beta_1|adam": 0.85, "optimizer.args.clipnorm": 1}
    )
    assert with_values(base, values).optimizer.args == {"beta_1": 0.85, "clipnorm": 1}
    values = resolve(space, {"optimizer.name": "sgd", "optimizer.args.clipnorm": None})
    assert values["optimizer.args.beta_1"] is None
    assert with_values(base, values).optimizer.args == {"momentum": 0.9}


def test_an_argument_is_checked_with_the_optimizer_that_goes_with_it():
    """The optimizer depends on the model, and its arguments on that too."""
    by = {
        "optimizer.name": {"by": {"model.name": {"mlp": "sgd", "cnn": "adam"}}},
        "model.name": {"choice": ["mlp", "cnn"]},
    }
    of_sgd = {"optimizer.args.momentum": {"by": {"model.name": {"mlp": {"uniform": [0.1, 0.9]}, "cnn": "none"}}}}
    space = parse_space(by | of_sgd, config_from_dict({}))
    values = resolve(space, {"model.name": "mlp", "optimizer.args.momentum|mlp": 0.5})
    assert with_values(config_from_dict({}), values).optimizer.args == {"momentum": 0.5}
    with pytest.raises(RequestError, match="SGD takes no argument of that name"):
        parse_space(by | {"optimizer.args.beta_1": {"uniform": [0.8, 0.9]}}, config_from_dict({}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer.args.beta1": {"uniform": [0.8, 0.9]}}, "search.space.optimizer.args.beta1: .* did you mean"),
        ({"optimizer.args.learning_rate": {"uniform": [0.8, 0.9]}}, "the field optimizer.learning_rate says it"),
        ({"optimizer.args.beta_1": {"choice": [0.9, "high"]}}, "'high' is not a finite number"),
        ({"optimizer.name": {"choice": ["adam", "Nadm"]}}, "search.space.optimizer.name: .* did you mean 'Nadam'"),
        (
            {"optimizer.name": {"choice": ["adam", "sgd"]}, "optimizer.args.beta_1": {"uniform": [0.8, 0.9]}},
            "search.space.optimizer.args.beta_1: optimizer.args.beta_1: SGD takes no argument of that name",
        ),
    ],
)
def test_a_search_over_what_keras_does_not_take_is_refused(given, said):
    with pytest.raises(RequestError, match=said):
        parse_space(given, config_from_dict({}))


def test_an_argument_is_checked_with_the_optimizers_that_are_drawn():
    given = {"optimizer.name": {"choice": ["sgd", "rmsprop"]}, "optimizer.args.momentum": {"uniform": [0, 0.9]}}
    assert set(parse_space(given, config_from_dict({}))) == set(given)  # whose own optimizer, adam, has none
