"""``optimizer.args``: what a class of Keras takes by name, besides what has a field of its own."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from nn_train.config.keras_names import class_named, defaults
from nn_train.config.options import FrozenDict, nearest
from nn_train.config.own_arguments import checked_value
from nn_train.errors import RequestError


def keras_arguments(
    owner: str, module: str, name: str, given: Mapping[str, Any], fields: Collection[str]
) -> FrozenDict:
    """The checked arguments for a class of ``keras.<module>``; none means that one is not given.

    Args:
        owner: their path, such as ``optimizer.args``.
        name: of the class, as the job has it.
        fields: of the same section: they are not given here.

    Raises:
        RequestError: the class takes no argument of that name, another kind of value, or a field says it.
    """
    section = owner.partition(".")[0]
    given = {str(argument): checked_value(f"{owner}.{argument}", value) for argument, value in given.items()}
    taken = defaults(module, class_named(module, name))
    chosen = {argument: value for argument, value in given.items() if value not in (None, "none", "null")}
    for argument, value in chosen.items():
        path = f"{owner}.{argument}"
        if argument in fields:
            raise RequestError(f"{path}: the field {section}.{argument} says it; give --{section}.{argument} VALUE")
        if taken is None:
            continue  # Keras is not found here
        if argument not in taken:
            own = [one for one in taken if one not in fields]
            hint = nearest(argument, own) or f"; it takes: {', '.join(own)}"
            raise RequestError(f"{path}: {class_named(module, name)} takes no argument of that name{hint}")
        refuse_other_kind(path, value, taken[argument])
    return FrozenDict(chosen)


def refuse_other_kind(path: str, value: object, default: object) -> None:
    """Raise RequestError for what is no number or no truth value in the place of one."""
    if isinstance(default, bool):
        fits, kind = isinstance(value, bool), "true or false"
    elif isinstance(default, int | float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits, kind = number and math.isfinite(value), "a finite number"  # type: ignore[arg-type]
    else:
        return
    if not fits:
        raise RequestError(f"{path}: {value!r} is not {kind}; its default is {default!r}")
