"""``search.space``: what it gives, how it refuses, and what of a search belongs to which job."""

from __future__ import annotations

import pytest

from nn_train.config import Config, config_from_dict, config_to_dict, dump_yaml
from nn_train.config.cli import help_text, run_job
from nn_train.config.space import Domain, parse_space, resolve
from nn_train.errors import RequestError

ONE_WORKER = config_from_dict({"scaling": {"num_workers": 1}})
BY_MODEL = {
    "model.name": {"choice": ["mlp", "cnn"]},
    "model.dropout": {"by": {"model.name": {"mlp": {"uniform": [0, 0.5]}, "cnn": 0.25}}},
}
TIMES_BATCH = {
    "train.batch_size": {"choice": [32, 64]},
    "optimizer.warmup_steps": {"times": ["train.batch_size", 1.5]},
    "optimizer.learning_rate": {"times": ["train.batch_size", 1e-5]},
}


def domain(kind, *values, whole=False):
    return Domain(kind=kind, values=values, whole=whole)


@pytest.mark.parametrize(
    ("field", "spec", "parsed"),
    [
        ("model.dropout", {"uniform": [0, 0.5]}, domain("uniform", 0.0, 0.5)),
        ("optimizer.learning_rate", {"loguniform": [1e-4, "1e-1"]}, domain("loguniform", 1e-4, 1e-1)),
        ("model.hidden_units", {"quantized": [64, 512, 64]}, domain("quantized", 64, 512, 64, whole=True)),
        ("model.hidden_units", {"log_integer": [4, "512"]}, domain("log_integer", 4, 512, whole=True)),
        ("model.dropout", {"choice": ["none", "0.1"]}, domain("choice", None, 0.1)),
        ("train.batch_size", {"grid": [32, "64"]}, domain("grid", 32, 64, whole=True)),
    ],
)
def test_each_kind_is_read_with_the_type_of_its_field(field, spec, parsed):
    assert parse_space({field: spec}, ONE_WORKER) == {field: parsed}


@pytest.mark.parametrize(
    ("given", "draws", "values"),
    [
        (BY_MODEL, {"model.name": "mlp", "model.dropout|mlp": 0.3}, {"model.name": "mlp", "model.dropout": 0.3}),
        (BY_MODEL, {"model.name": "cnn", "model.dropout|mlp": 0.3}, {"model.name": "cnn", "model.dropout": 0.25}),
        (
            TIMES_BATCH,
            {"train.batch_size": 64},
            {"train.batch_size": 64, "optimizer.warmup_steps": 96, "optimizer.learning_rate": 64 * 1e-5},
        ),
        (
            {"model.hidden_units": {"quantized": [64, 512, 64]}},
            {"model.hidden_units": 128.0},
            {"model.hidden_units": 128},
        ),
    ],
)
def test_draws_become_the_values_of_fields(given, draws, values):
    resolved = resolve(parse_space(given, ONE_WORKER), draws)
    assert resolved == values
    assert {name: type(value) for name, value in resolved.items()} == {name: type(v) for name, v in values.items()}


REFUSED = [
    ({"optimizer.learning_rat": {"uniform": [0, 1]}}, "did you mean 'optimizer.learning_rate'"),
    ({"model.dropout": {"unifrom": [0, 0.5]}}, "'unifrom' is not known; allowed: uniform, loguniform, quantized"),
    ({"train.batch_size": {"choice": [32, "many"]}}, "search.space.train.batch_size: 'many' is not a whole number"),
    ({"train.batch_size": {"choice": [32, 64, "32"]}}, "choice: [32, 64, '32'] holds a value twice"),
    ({"model.dropout": {"uniform": [0.5, 0.1]}}, "search.space.model.dropout: uniform: low 0.5 is not below high 0.1"),
    ({"model.dropout": {"uniform": [0, "much"]}}, "search.space.model.dropout: 'much' is not a number"),
    ({"model.hidden_units": {"quantized": [10, 64, 8]}}, "low 10 and high 64 must be multiples of the step 8"),
    ({"train.batch_size": {"choice": [2, 64]}}, "train.batch_size: 2 is less than scaling.num_workers (4)"),
    ({"train.epochs": {"integer": [1, 8]}}, "train.epochs: belongs to the whole search"),
]
BRANCHES_REFUSED = [
    ({"by": {"model.nam": {"mlp": 0.1}}}, "'model.nam' is not in search.space; did you mean 'model.name'"),
    (
        {"by": {"model.name": {"mlp": 0, "cnn": 0, "rnn": 0}}},
        "mlp, cnn, rnn are not the values of model.name: mlp, cnn",
    ),
    ({"by": {"model.name": {"mlp": 0.1, "cnn": 1}}}, "search.space.model.dropout: model.dropout: 1.0 is out of range"),
    ({"times": ["model.l1", 2]}, "'model.l1' is not in search.space; did you mean 'model.l2'"),
    ({"times": ["model.l2", 2]}, "search.space.model.dropout: model.dropout: 2.0 is out of range"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED, ids=str)
def test_a_wrong_space_is_refused_by_the_name_of_its_field(given, said):
    with pytest.raises(RequestError) as caught:
        parse_space(given, config_from_dict({"scaling": {"num_workers": 4}}))
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"search.space.{next(iter(given))}")


@pytest.mark.parametrize(("spec", "said"), BRANCHES_REFUSED, ids=str)
def test_a_wrong_dependence_is_refused(spec, said):
    others = {"model.name": {"choice": ["mlp", "cnn"]}, "model.l2": {"uniform": [0, 1]}}
    with pytest.raises(RequestError) as caught:
        parse_space({**others, "model.dropout": spec}, ONE_WORKER)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--search.space", "model.dropout: [0"], "search.space, line 1: not valid YAML"),
        (["--search.confirm", "{top: true, seeds: 3}"], "is not written as {top: 3, seeds: 3}"),
        (["--search.scheduler", "ahsa"], "did you mean 'asha'"),
    ],
)
def test_a_wrong_search_ends_with_code_2_and_one_message(words, said, capsys):
    assert run_job("Job", words, lambda arguments: 0, stages=("search",)) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert len(shown.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--search.num_trials", "3"], "--search.num_trials: belongs to nn-train tune"),
        (["--dry_run"], "--dry_run: no such field"),
    ],
)
def test_other_jobs_take_nothing_of_a_search(words, said, capsys):
    assert run_job("Job", words, lambda arguments: 0) == 2
    assert said in capsys.readouterr().err
    assert "search." not in help_text("Job")
    assert "--dry-run" not in help_text("Job")


def test_the_section_search_is_no_part_of_a_run():
    config = config_from_dict({"search": {"space": {"seed": {"choice": [1, 2]}}}})
    assert "search" not in dump_yaml(config)
    assert config_from_dict(config_to_dict(config)) == Config()
    assert config_from_dict(config_to_dict(config, stages=("search",))) == config


@pytest.mark.parametrize(
    ("search", "lower"),
    [
        ({}, False),
        ({"metric": "val_loss"}, True),
        ({"metric": "val_loss", "mode": "max"}, False),
        ({"metric": "val_out_a_mape_1"}, True),
        ({"metric": "val_wer_accuracy"}, False),
    ],
)
def test_the_direction_follows_from_the_metric_unless_given(search, lower):
    assert config_from_dict({"search": search}).search.lower_is_better is lower
