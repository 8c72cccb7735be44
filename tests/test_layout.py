"""The arrows of the design: what may import what."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nn_train"
# Lower numbers know nothing of higher ones.
LEVELS = {
    "errors": 0,
    "entry_points": 1,
    "config": 1,
    "processes": 1,
    "guard": 1,
    "import_tensorflow": 1,
    "runs": 1,
    "lease": 2,
    "selection": 1,
    "datasets": 2,
    "models": 2,
    "optimizers": 3,
    "replication": 3,
    "partial": 1,
    "callback_memory": 1,
    "tensors": 3,
    "steps": 4,
    "preparation": 4,
    "batches": 4,
    "counts": 4,
    "validation": 5,
    "loop": 6,
    "checkpoints": 6,
    "callbacks": 7,
    "loggers": 7,
    "training": 8,
    "evaluation": 2,
    "report": 3,
    "search": 9,
    "prediction": 9,
    "pipeline": 10,
    "submission": 2,
    "doctor": 9,
}
RAY_LIVES_IN = {"training", "search", "prediction", "submission", "doctor"}
NO_TENSORFLOW = {"errors", "config", "runs", "selection", "evaluation", "report"}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def part_of(file):
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(file):
    """Every module that a file imports, at its top or in a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "nn_train")


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_one_way(file):
    own = part_of(file)
    if own == "__init__":
        return  # the front door, which imports when asked
    assert own in LEVELS, f"give {own} a level"
    for name in imported(file):
        root, *rest = name.split(".")
        if root == "nn_train" and rest and rest[0] in LEVELS:
            assert rest[0] == own or LEVELS[rest[0]] <= LEVELS[own], f"{file} imports {name}"
        assert root != "ray" or own in RAY_LIVES_IN, f"{file} knows Ray"
        assert root not in ("tensorflow", "keras") or own not in NO_TENSORFLOW, f"{file} imports {root}"


def test_there_is_no_module_of_leftovers():
    assert not [file for file in modules() if file.stem in ("utils", "helpers", "common", "misc")]
