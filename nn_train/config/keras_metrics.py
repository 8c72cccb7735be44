"""``train.metrics``: metrics of Keras by their names, each alone or with what its class takes by name.

train:
  metrics: [KLDivergence, {TopKCategoricalAccuracy: {k: 3, name: top3}}]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nn_train.config.keras_arguments import refuse_other_kind
from nn_train.config.keras_names import NEEDED, class_named, defaults, offers, unknown
from nn_train.config.options import FrozenDict, nearest
from nn_train.config.own_arguments import checked_value
from nn_train.errors import RequestError

FIELD = "train.metrics"
ALWAYS = ("accuracy", "acc", "Accuracy")  # is counted anyway; Keras' class of that name compares with labels alone
COLUMNS = ("epoch", "loss", "accuracy", "examples", "learning_rate", "seconds", "samples_per_second", "world_size")

Metric = str | FrozenDict


def keras_metrics(given: Sequence[object]) -> tuple[Metric, ...]:
    """The checked metrics, each with the name of its class.

    Raises:
        RequestError: Keras has no such metric, it takes no such argument or needs one that is not given, or two of them
            would have one name in the rows.
    """
    metrics = [keras_metric(name, args) for name, args in map(parts_of, given) if name not in ALWAYS]
    taken: set[str] = set(COLUMNS)
    for metric in metrics:
        column = column_of(metric)
        by_class = re.sub(r"_\d+$", "", column)  # as the columns of one that gives a number for each class
        if column in taken or column.startswith("val_") or (by_class != column and by_class in taken):
            raise RequestError(
                f"{FIELD}: the column {column} is there already; give this one a name: "
                f"{{{parts_of(metric)[0]}: {{name: …}}}}"
            )
        taken.add(column)
    return tuple(metrics)


def parts_of(given: object) -> tuple[str, Mapping[str, Any]]:
    """The name and the arguments of a metric, which is given as ``Name`` or ``{Name: {argument: value}}``."""
    if isinstance(given, str):
        return given, {}
    if isinstance(given, Mapping) and len(given) == 1:
        ((name, args),) = given.items()
        if isinstance(name, str) and (args is None or isinstance(args, Mapping)):
            return name, args or {}
    raise RequestError(f"{FIELD}: {given!r} is neither the name of a metric nor {{name: {{argument: value}}}}")


def keras_metric(name: str, args: Mapping[str, Any]) -> Metric:
    """One of them."""
    if not offers("metrics", name):
        raise RequestError(f"{FIELD}: {unknown('metrics', name, ())}")
    named = class_named("metrics", name)
    path = f"{FIELD}: {named}"
    given = {str(argument): checked_value(f"{path}.{argument}", value) for argument, value in args.items()}
    chosen = {argument: value for argument, value in given.items() if value not in (None, "none", "null")}
    taken = defaults("metrics", named)
    if taken is not None:  # else Keras is not found here
        for argument, value in chosen.items():
            if argument not in taken or argument == "dtype":
                own = [one for one in taken if one != "dtype"]
                hint = nearest(argument, own) or f"; it takes: {', '.join(own)}"
                raise RequestError(f"{path}.{argument}: it takes no argument of that name{hint}")
            refuse_other_kind(f"{path}.{argument}", argument, value, taken[argument])
        missing = [argument for argument, default in taken.items() if default is NEEDED and argument not in chosen]
        if missing:
            raise RequestError(f"{path}: needs {missing[0]}; give {{{named}: {{{missing[0]}: VALUE}}}}")
    if re.fullmatch(r"[A-Za-z]\w*", str(chosen.get("name", "a"))) is None:
        raise RequestError(f"{path}.name: {chosen['name']!r} is not made of letters, digits and _")
    return FrozenDict({named: FrozenDict(chosen)}) if chosen else named


def column_of(metric: Metric) -> str:
    """Its name in the rows: what the job calls it, else what Keras does."""
    name, args = parts_of(metric)
    own = args.get("name") or (defaults("metrics", name) or {}).get("name")
    return str(own or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
