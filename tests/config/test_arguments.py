"""Arguments of functions and of Keras' classes: from job files, command lines and search spaces."""

from __future__ import annotations

import pytest

from nn_train.config import config_from_dict, config_to_dict, dump_yaml, read_config
from nn_train.config.cli import parse_arguments
from nn_train.config.space import parse_space, resolve, with_values
from nn_train.errors import RequestError
from nn_train.runs.record import with_defaults

OWN = ["--model.name", "my:build"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("4", 4), ("1e-3", 1e-3), ("[64, 32]", [64, 32]), ("a: [", "a: [")],
)
def test_a_command_line_gives_values_as_yaml_reads_them(text, value):
    (given,) = parse_arguments([*OWN, "--model.args.it", text]).config.model.args.values()
    assert given == value
    assert type(given) is type(value)


def test_they_are_merged_by_name_and_come_back_from_a_job_file(tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text('model: {name: "my:build", args: {depth: 4, rate: 1e-3, label: "7"}}\ndata: {source: "my:load"}\n')
    config = parse_arguments(["--config", str(file), "--model.args.depth", "5", "--data.args.part", "a"]).config
    assert config.model.args == {"depth": 5, "rate": 1e-3, "label": "7"}
    assert config.data.args == {"part": "a"}
    file.write_text(dump_yaml(config))
    assert read_config(str(file), {}) == config
    assert config_from_dict(config_to_dict(config)) == config
    assert hash(config.model) == hash(config_from_dict(config_to_dict(config)).model)
    assert config.model != config_from_dict({"model": {"name": "my:build", "args": {"depth": 5}}}).model


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        ("F1Score, mae", ["F1Score", "MeanAbsoluteError"]),
        ("[AUC, {Auc: {name: pr, curve: PR}}]", ["AUC", {"Auc": {"name": "pr", "curve": "PR"}}]),
    ],
)
def test_names_of_keras_are_read_and_come_back_from_a_job_file(tmp_path, text, metrics):
    words = ["--train.metrics", text, "--optimizer.name", "Adam", "--optimizer.args", "{beta_1: 1e-1, rho: none}"]
    config = parse_arguments(words).config
    assert config_to_dict(config)["train"]["metrics"] == metrics
    assert (config.optimizer.name, config.optimizer.args) == ("adam", {"beta_1": 0.1})
    (tmp_path / "job.yaml").write_text(dump_yaml(config))
    assert read_config(str(tmp_path / "job.yaml"), {}) == config
    assert hash(config.train) == hash(config_from_dict(config_to_dict(config)).train)


@pytest.mark.parametrize("none", ["none"])
def test_none_takes_those_of_the_file_away(tmp_path, none):
    (tmp_path / "job.yaml").write_text("data: {source: 'mine:load', args: {limit: 5}}\n")
    words = ["--config", str(tmp_path / "job.yaml"), "--data.args", none, "--data.args.first", "2"]
    assert parse_arguments(words).config.data.args == {"first": 2}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model.args.depth", "4"], "model.args.depth: model.name mlp takes no arguments"),
        ([*OWN, "--model.args.config", "4"], "every function of model.name is offered config"),
        ([*OWN, "--model.args", "{a: {b: 4}}"], r"model.args.a: {'b': 4} is not a number, a text"),
        (["--optimizer.name", "my:build"], "'my:build' is not known; allowed: adam, .* or a name of keras.optimizers"),
        (["--train.metrics", "[AUC"], "train.metrics: not valid YAML"),
    ],
)
def test_what_cannot_be_one_is_refused(words, said):
    with pytest.raises(RequestError, match=said):
        parse_arguments(words)


def test_an_argument_of_one_model_is_none_for_a_built_in_one():
    base = config_from_dict({"model": {"name": "my:build"}})
    given = {
        "model.name": {"choice": ["my:build", "mlp"]},
        "model.args.depth": {"by": {"model.name": {"my:build": {"integer": [1, 4]}, "mlp": None}}},
    }
    space = parse_space(given, base)
    values = resolve(space, {"model.name": "mlp"})
    assert with_values(base, values).model.args == {}
    values = resolve(space, {"model.name": "my:build", "model.args.depth|my:build": 2})
    assert with_values(base, values).model.args == {"depth": 2}


def test_a_search_varies_them_like_any_field():
    base = config_from_dict({"model": {"name": "my:build", "args": {"act": "relu", "depth": 1}}})
    given = {
        "model.args.kind": {"choice": ["wide", "deep"]},
        "model.args.depth": {"by": {"model.args.kind": {"wide": 1, "deep": {"integer": [2, 9]}}}},
        "model.args.shape": {"choice": [[8], [8, 8]]},
        "model.args.units": {"choice": [8, 16]},
        "model.args.heads": {"times": ["model.args.units", 2]},
    }
    draws = {"model.args.kind": "deep", "model.args.depth|deep": 5, "model.args.shape": [8, 8], "model.args.units": 16}
    values = resolve(parse_space(given, base), draws)
    assert type(values["model.args.heads"]) is int
    assert with_values(base, values).model.args == {
        "act": "relu",
        "depth": 5,
        "kind": "deep",
        "shape": [8, 8],
        "units": 16,
        "heads": 32,
    }


def test_defaults_of_a_function_are_noted_where_json_can_have_them():
    def build(config, num_classes=3, units=16, sizes=(3, 3), limit=float("inf"), act=len, *, rate):
        raise AssertionError

    given = {"rate": 0.5, "units": 32}
    assert with_defaults(build, given, ("config", "num_classes")) == {"units": 32, "sizes": (3, 3), "rate": 0.5}
