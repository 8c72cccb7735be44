"""What workers need of a job besides its config: the functions it was given, and where its modules are found."""

from __future__ import annotations

import inspect
import os
import pickle
import sys
from collections.abc import Callable, Iterable
from typing import Any

from ray import cloudpickle

from nn_train.config.entry_points import KEPT, kept
from nn_train.config.function_digest import HERE
from nn_train.config.user_code import own_paths
from nn_train.errors import RequestError, first_line


def pack(names: Iterable[str]) -> bytes:
    """A parcel for workers: where this process finds the user's modules, and what it keeps of the
    functions of these names.

    Raises:
        RequestError: one is not kept here, or uses something that cannot be sent.
    """
    given = {}
    for name in names:
        if not name.startswith(f"{HERE}:"):
            continue
        function = kept(name)
        try:
            given[name] = cloudpickle.dumps((function, registered(function)))
        except Exception as error:  # of whatever object it holds
            raise RequestError(
                f"{name}: cannot be sent to the workers: {first_line(error)}; let it make what it uses, or import it"
            ) from error
    return pickle.dumps((own_paths(), given))


def registered(function: Callable[..., Any] | None) -> dict[str, Any]:
    """The classes and functions that it uses and that were registered with Keras, by their registered names: they are
    another copy in another process, where nobody has registered them."""
    keras = sys.modules.get("keras")  # who has registered something has imported it
    if keras is None or function is None:
        return {}
    named = {keras.saving.get_registered_name(one): one for one in used_by(function).values()}
    return {name: one for name, one in named.items() if ">" in name and one.__module__ == HERE}


def used_by(function: Callable[..., Any]) -> dict[str, Any]:
    """The classes and functions that a function can name, by these names."""
    found = dict(getattr(function, "classes", {}))
    inner = inspect.unwrap(getattr(function, "func", function))
    inner = getattr(inner, "__func__", inner)
    if not inspect.isfunction(inner) and not inspect.isclass(inner):
        inner = getattr(type(inner).__call__, "__func__", type(inner).__call__)
    if inspect.isfunction(inner):
        found |= {**inner.__globals__, **inspect.getclosurevars(inner).nonlocals}
    return {name: one for name, one in found.items() if inspect.isclass(one) or inspect.isfunction(one)}


def unpack(parcel: bytes) -> None:
    """Keep in this process what was sent, and look up modules where the sender does. Functions may import TensorFlow:
    it is set up before."""
    paths, given = pickle.loads(parcel)
    sys.path += [path for path in paths if path not in sys.path and os.path.isdir(path)]
    for name, content in given.items():
        try:
            KEPT[name], to_register = pickle.loads(content)
        except ImportError as error:
            raise RequestError(f"{name}: uses {error.name}, which the workers do not find: {error}") from error
        for key, one in to_register.items():
            package, _, short = key.partition(">")
            sys.modules["keras"].saving.register_keras_serializable(package, short)(one)
