"""``optimizer.args``: what a class of Keras takes by name, besides what has a field of its own."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from nn_train.config.keras_names import MARKS, class_named, defaults
from nn_train.config.options import FrozenDict, nearest
from nn_train.config.own_arguments import checked_value
from nn_train.errors import RequestError

# Of optimizers; their default, which is mostly none, does not tell.
WHOLE = ("ns_steps", "ema_overwrite_frequency", "gradient_accumulation_steps")
NUMBERS = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "loss_scale_factor")


def keras_arguments(
    owner: str, module: str, name: str, given: Mapping[str, Any], fields: Collection[str]
) -> FrozenDict:
    """The checked arguments for a class of ``keras.<module>``; none means that one is not given.

    Args:
        owner: their path, such as ``optimizer.args``.
        name: of the class, as the job has it.
        fields: of the same section.

    Raises:
        RequestError: the class takes no argument of that name, another kind of value, or a field says it.
    """
    section = owner.partition(".")[0]
    given = {str(argument): checked_value(f"{owner}.{argument}", value) for argument, value in given.items()}
    taken = defaults(module, class_named(module, name))
    chosen = {argument: value for argument, value in given.items() if value not in (None, "none", "null")}
    for argument, value in chosen.items():
        path = f"{owner}.{argument}"
        if argument == "name":
            raise RequestError(f"{path}: is set here; which optimizer it is, {section}.name says")
        if argument == MARKS[module] or (argument in fields and argument not in (taken or ())):
            raise RequestError(f"{path}: the field {section}.{argument} says it; give --{section}.{argument} VALUE")
        if taken is None:
            continue  # Keras is not found here
        if argument not in taken:
            own = [one for one in taken if one not in ("name", MARKS[module])]
            hint = nearest(argument, own) or f"; it takes: {', '.join(own)}"
            raise RequestError(f"{path}: {class_named(module, name)} takes no argument of that name{hint}")
        refuse_other_kind(path, argument, value, taken[argument])
    return FrozenDict(chosen)


def refuse_other_kind(path: str, argument: str, value: object, default: object) -> None:
    """Raise RequestError for what is no number or no truth value in the place of one."""
    if argument in WHOLE:
        fits, kind = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif isinstance(default, bool):
        fits, kind = isinstance(value, bool), "true or false"
    elif isinstance(default, int | float) or argument in NUMBERS:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits, kind = number and math.isfinite(value), "a finite number"  # type: ignore[arg-type]
    else:
        return
    if not fits:
        raise RequestError(f"{path}: {value!r} is not {kind}; its default is {default!r}")
