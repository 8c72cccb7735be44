from __future__ import annotations

from typing import Any

import pytest

from nn_train.report.inputs.grouping import group_runs, repeats, select
from nn_train.report.inputs.runs import RunRecord


def record(name: str, *, best: dict[str, Any] | None = None, **fields: Any) -> RunRecord:
    config: dict[str, Any] = {"name": name, "seed": fields.pop("seed", 0), "run": {"storage_path": name}}
    for path, value in fields.items():
        section, field = path.split("__")
        config.setdefault(section, {})[field] = value
    return RunRecord(name=name, stem=name, config=config, result={"metrics": {"best": best}})


@pytest.mark.parametrize(
    ("records", "groups"),
    [
        (
            [record("a", seed=0, model__name="mlp"), record("b", seed=1, model__name="mlp")],
            {"mlp": ["a", "b"]},
        ),
        (
            [
                record("a", model__name="mlp", optimizer__learning_rate=0.12345678901234),
                record("b", model__name="mlp", optimizer__learning_rate=0.2),
                record("c", model__name="cnn", optimizer__learning_rate=0.2),
            ],
            {"mlp, learning_rate 0.1235": ["a"], "mlp, learning_rate 0.2": ["b"], "cnn": ["c"]},
        ),
        ([RunRecord(name="x", stem="x"), RunRecord(name="y", stem="y")], {"x": ["x"], "y": ["y"]}),
    ],
)
def test_runs_that_differ_in_their_seed_only_are_one_group(records: list[RunRecord], groups: dict) -> None:
    found = {group.label: [run.name for run in group.runs] for group in group_runs(records)}
    assert found == groups


@pytest.mark.parametrize(
    ("scores", "metric", "group", "run"),
    [
        # The best mean decides, not the best single run.
        ({"a": ("mlp", 0.90), "b": ("mlp", 0.99), "c": ("cnn", 0.96), "d": ("cnn", 0.95)}, "val_accuracy", "cnn", "c"),
        ({"a": ("mlp", None), "b": ("mlp", 0.5), "c": ("cnn", None), "d": ("cnn", None)}, "val_accuracy", "mlp", "b"),
        ({"a": ("mlp", 0.9), "c": ("cnn", 0.9)}, "val_accuracy", "mlp", "a"),
    ],
)
def test_selection_is_by_validation(scores: dict, metric: str, group: str, run: str) -> None:
    records = [
        record(name, seed=i, model__name=model, best={"val_accuracy": value})
        for i, (name, (model, value)) in enumerate(scores.items())
    ]
    chosen = select(group_runs(records), set(scores))
    assert (chosen.metric, chosen.group, chosen.run) == (metric, group, run)


def test_nothing_is_selected_without_validation_or_predictions() -> None:
    unknown, unusable = [record("a", best=None)], [record("a", best={"val_accuracy": 0.9})]
    assert select(group_runs(unknown), {"a"}).run is None
    assert select(group_runs(unusable), set()).run is None


def of_code(name: str, code: str, seed: int = 0, source: str = "mine:load", data: str = "", **args: Any) -> RunRecord:
    result = {
        "seed": seed,
        "code": {"modules": {"mine": code}},
        "data": {"source": source, "sha256": {"x_train": data}},
        "arguments": {"model.args": {"units": 16, **args}, **({"data.args": {}} if ":" in source else {})},
    }
    config = {"name": name, "seed": seed, "model": {"name": "mine:build", "args": args}}
    return RunRecord(name=name, stem=name, config=config, result=result)


def test_runs_of_other_code_or_other_files_are_another_configuration() -> None:
    runs = [of_code("a", "1"), of_code("b", "1", seed=1, data="drawn"), of_code("c", "2")]
    assert [[run.name for run in group.runs] for group in group_runs(runs)] == [["a", "b"], ["c"]]
    files = [of_code("a", "1", source="a.npz", data="1"), of_code("b", "1", source="a.npz", data="2", seed=1)]
    assert [len(group.runs) for group in group_runs(files)] == [1, 1]


def test_an_argument_that_is_left_out_has_the_default_of_the_function() -> None:
    labels = [group.label for group in group_runs([of_code("a", "1"), of_code("b", "1", units=32)])]
    assert labels == ["mine:build, units 16", "mine:build, units 32"]
    assert len(group_runs([of_code("a", "1"), of_code("b", "1", units=16, seed=1)])) == 1


def test_the_same_training_twice_is_known() -> None:
    runs = [of_code("a", "1"), of_code("b", "1"), of_code("c", "1", seed=1), of_code("d", "2"), of_code("e", "1")]
    assert repeats(runs) == {1: 0, 4: 0}
    assert repeats([RunRecord(name=name, stem=name) for name in "ab"]) == {}
