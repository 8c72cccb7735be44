"""What is refused of a call of ``fit``, ``evaluate`` or ``predict`` before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from nn_train.engine.fit.under_way import same_on_all
from nn_train.engine.probe import ALONE
from nn_train.engine.strategy import Replicas
from nn_train.errors import RequestError

OF_DATA = ("x", "y", "sample_weight", "validation_data")  # may be large: compared batch by batch
MAY_DIFFER = ("self", "callbacks", "verbose")


def check_arguments(name: str, arguments: Mapping[str, Any], workers: Replicas) -> None:
    """Raise RequestError, on all workers, where these are others on one of them: it would wait for what never comes.

    Compared are settings, and of data whether they are given. Collective.
    """
    told = {
        argument: "..." if argument in OF_DATA else plain(value)
        for argument, value in arguments.items()
        if argument not in MAY_DIFFER and value is not None
    }
    if not same_on_all((name, sorted(told.items())), [], workers):
        raise RequestError(
            f"{name}: the workers call it with different arguments, or other methods at the same time, this one "
            f"{name}({', '.join(f'{argument}={value}' for argument, value in told.items())}). Let all call the same, "
            "with the same data; only verbose and callbacks may differ"
        )


def plain(value: object) -> object:
    """A setting as it can be compared between processes; "..." for what is none."""
    if isinstance(value, dict):
        return dict(sorted(((str(key), plain(one)) for key, one in value.items())))
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, int | float | str | None) else "..."


def refuse_own_functions(model: keras.Model, name: str, arguments: Mapping[str, Any]) -> None:
    """Raise RequestError where the class makes functions of its own of steps, which would not be those of all."""
    kinds = {"fit": ["train"], "evaluate": ["test"], "predict": ["predict"]}[name]
    if arguments.get("validation_data") is not None or arguments.get("validation_split"):
        kinds.append("test")
    for kind in kinds:
        made = f"make_{kind}_function"
        if getattr(type(model), made) is not getattr(keras.Model, made):
            raise RequestError(
                f"{made}: {type(model).__name__} makes a function of its own, which several workers would not call; "
                f"let it override {kind}_step, or a callback do what is done around it, {ALONE}"
            )
