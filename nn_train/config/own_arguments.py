"""``model.args`` and ``data.args``: what a function of the user's takes by name, besides what every one is offered.

A job file gives them as a mapping, a command line one by one (``--model.args.depth 4``), and a search varies them like
any field. Their names and types are the function's. ``optimizer.args`` are given in the same ways, and are those of a
class of Keras (``keras_arguments.py``).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from nn_train.config.options import FrozenDict, is_entry_point
from nn_train.config.yaml_text import YamlError, load
from nn_train.errors import RequestError

# Whose arguments they are, and what that function is offered anyway.
OWNERS = {
    "model.args": ("model.name", ("config", "input_shape", "num_classes")),
    "data.args": ("data.source", ("config",)),
}
ARGUMENTS = (*OWNERS, "optimizer.args")
EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")  # a number for everybody but YAML 1.1


def is_own_argument(path: str) -> bool:
    """Whether ``path`` is that of one argument: ``model.args.depth``."""
    owner, _, name = path.rpartition(".")
    return owner in ARGUMENTS and name.isidentifier()


def with_defaults(function: Callable[..., Any], given: Mapping[str, Any], offered: Collection[str]) -> dict[str, Any]:
    """``given``, and of what the function takes besides the plain values that it has by itself; those JSON knows."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of what is compiled
        parameters = {}.values()
    own = {one.name: one.default for one in parameters if one.default is not one.empty and one.name not in offered}
    return {name: value for name, value in {**own, **given}.items() if is_plain(value) and is_json(value)}


def is_json(value: object) -> bool:
    """Not so numbers that are infinite."""
    try:
        return bool(json.dumps(value, allow_nan=False))
    except ValueError:
        return False


def from_text(text: str) -> Any:
    """The value that a command line gives: as YAML reads it; a text that is no YAML is a text."""
    if text.lower() in ("none", "null"):
        return None
    if not text.strip():
        return text
    try:
        value = load(text)
    except YamlError:
        return text
    return value if is_plain(value) else text


def checked_value(path: str, value: object) -> Any:
    """A number, a text, true or false, none, or a list of these; a text such as 1e-3 is a number."""
    if isinstance(value, list | tuple):
        return [checked_value(path, one) for one in value]
    if isinstance(value, str) and EXPONENT.fullmatch(value):
        return float(value)
    if not is_plain(value):
        raise RequestError(f"{path}: {value!r} is not a number, a text, true, false, none or a list of these")
    return value


def is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(is_plain(one) for one in value)
    return value is None or isinstance(value, bool | int | float | str)


def own_arguments(owner: str, of: str, given: Mapping[str, Any]) -> FrozenDict:
    """The checked arguments of ``owner``, a key of ``OWNERS``, for the function named by its field, ``of``.

    Raises:
        RequestError: a name that every function is offered already, or is none; another kind of value; there is no
            function of the user's.
    """
    field, offered = OWNERS[owner]
    for name in given:
        if not name.isidentifier():
            raise RequestError(f"{owner}: {name!r} cannot be the name of an argument")
        if name in offered:
            raise RequestError(f"{owner}.{name}: every function of {field} is offered {name}; give it another name")
    if not is_entry_point(of):  # none: of a search that varies the model as well
        given = {name: value for name, value in given.items() if value is not None}
        if given:
            raise RequestError(f"{owner}.{min(given)}: {field} {of} takes no arguments; they are for a module:function")
    return FrozenDict({name: checked_value(f"{owner}.{name}", value) for name, value in given.items()})
