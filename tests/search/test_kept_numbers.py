"""Which attributes of a user's part only say what it was made with."""

from __future__ import annotations

import ast
from pathlib import Path

import keras
import pytest

pytestmark = pytest.mark.tf


class Own(keras.layers.Layer):
    """A user's."""


# Of the cells of Keras' recurrent layers, which are its own or derived from those.
OF_CELLS = {"dropout", "recurrent_dropout"}


def read_of_others(file):
    """The attributes that a module reads of anything that is not ``self``, but for functions that it calls."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and id(node) not in called and ast.unparse(node.value) != "self":
            yield ast.unparse(node.value), node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
            yield ast.unparse(node.args[0]), getattr(node.args[1], "value", "")


def test_keras_reads_no_rate_or_penalty_of_objects_that_are_not_its_own():
    """Such a number of a user's layer is left out where no code of the user's names it."""
    from nn_train.search.warm.kept_numbers import NAMES

    sources = Path(keras.__file__).parent / "src"
    found = {
        (where, name)
        for file in sources.rglob("*.py")
        if not file.name.endswith("_test.py")
        for where, name in read_of_others(file)
        if NAMES.fullmatch(str(name))
    }
    assert {where for where, name in found if name in OF_CELLS} <= {"self.cell", "fwd.cell", "bwd.cell"}
    assert {name for _, name in found} - OF_CELLS == set()


@pytest.mark.parametrize("name", ["rate", "_rate", "dropout_rate", "drop", "p", "l2", "l2_penalty", "lambda_", "alpha"])
def test_numbers_are_known_by_their_names(name):
    from nn_train.search.warm.kept_numbers import may_be_unread

    assert may_be_unread(Own, name, 0.5)
    assert not may_be_unread(Own, name, 1)  # a count of things may make another graph
    assert not may_be_unread(Own, name, "0.5")


@pytest.mark.parametrize("name", ["units", "scale", "learning_rate", "weight_decay", "rates", "momentum"])
def test_other_numbers_always_count(name):
    from nn_train.search.warm.kept_numbers import may_be_unread

    assert not may_be_unread(Own, name, 0.5)
