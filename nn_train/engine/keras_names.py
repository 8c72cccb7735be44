"""The optimizers, losses and metrics that a job names, looked up in the installed Keras.

Keras is imported when a name needs it: by the driver before Ray starts, where the job names other than built-in ones.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import inspect
import re
from collections.abc import Collection, Mapping
from typing import Any

from nn_train.config import OptimizerConfig, TrainConfig
from nn_train.config.options import nearest
from nn_train.config.schema import BUILT_IN_LOSSES, BUILT_IN_OPTIMIZERS, METRICS, SHORT_NAMES, Metric, letters, parts_of
from nn_train.engine.import_tensorflow import import_quietly
from nn_train.errors import RequestError

# Of a module of Keras: the argument that every class has which a job can name.
MARKS = {"optimizers": "learning_rate", "losses": "reduction", "metrics": "dtype"}
NO_USE = {
    "optimizers": (),
    # A base; of sequences; of embeddings: none says how far outputs are from classes.
    "losses": ("Loss", "CTC", "Circle"),
    # Bases; of outputs that are labels: IoU and MeanIoU have counterparts for a number for each class.
    "metrics": ("Metric", "MeanMetricWrapper", "Mean", "Sum", "Accuracy", "IoU", "MeanIoU"),
}
SET_HERE = ("name", "learning_rate")  # arguments of optimizers that fields of the job set
COLUMNS = ("epoch", "loss", "accuracy", "examples", "learning_rate", "seconds", "samples_per_second", "world_size")


@functools.cache
def classes(module: str) -> Mapping[str, Any]:
    """Return the classes of ``keras.<module>`` that a job can name."""
    import_quietly()
    offered = vars(importlib.import_module(f"keras.{module}"))
    named = {name: one for name, one in offered.items() if inspect.isclass(one) and name not in NO_USE[module]}
    return {name: one for name, one in named.items() if MARKS[module] in parameters(one)}


def parameters(made: type) -> Mapping[str, inspect.Parameter]:
    """Return the arguments of a class by name."""
    given = list(inspect.signature(made.__init__).parameters.values())[1:]  # type: ignore[misc]
    return {one.name: one for one in given if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}


def keras_class(field: str, module: str, name: str) -> Any:
    """Return the class of ``keras.<module>`` that a job names: by its name, its function's, or a short one.

    Raises:
        RequestError: Keras has none, with the names that are spelt alike.
    """
    named, known = letters(SHORT_NAMES[module].get(name.lower(), name)), classes(module)
    for key, made in known.items():
        if letters(key) == named:
            return made
    by_letters = {letters(one): one for one in [*known, *SHORT_NAMES[module]]}
    close = [repr(by_letters[one]) for one in difflib.get_close_matches(letters(name), by_letters)]
    hint = f"did you mean {' or '.join(close)}?" if close else f"allowed: {', '.join([*SHORT_NAMES[module], *known])}"
    raise RequestError(f"{field}: {name!r} is not known; {hint}")


def check_arguments(path: str, made: type, given: Collection[str], set_here: Collection[str]) -> None:
    """Raise RequestError when a class takes no argument of one of these names, or needs one that is not given."""
    taken = {name: one for name, one in parameters(made).items() if name not in set_here}
    for name in given:
        if name not in taken:
            hint = nearest(name, taken) or f"; it takes: {', '.join(taken)}"
            raise RequestError(f"{path}.{name}: {made.__name__} takes no argument of that name here{hint}")
    missing = [name for name, one in taken.items() if one.default is one.empty and name not in given]
    if missing:
        raise RequestError(f"{path}: {made.__name__} needs {missing[0]}; give {{{missing[0]}: VALUE}}")


def check_keras_names(optimizer: OptimizerConfig, train: TrainConfig) -> None:
    """Refuse what the installed Keras does not have. It is imported only where the job names something of it.

    Raises:
        RequestError: there is no such optimizer, loss or metric, it takes other arguments, or two metrics have one
            name.
    """
    if importlib.util.find_spec("keras") is None:
        return  # a machine that only submits: the workers look
    if optimizer.args or optimizer.name not in BUILT_IN_OPTIMIZERS:
        made = keras_class("optimizer.name", "optimizers", optimizer.name)
        check_arguments("optimizer.args", made, optimizer.args, SET_HERE)
    if train.loss not in BUILT_IN_LOSSES:
        keras_class("train.loss", "losses", train.loss)
    taken = set(COLUMNS)
    for metric in train.metrics:
        made, args = metric_parts(metric)
        check_arguments(f"{METRICS}: {made.__name__}", made, args, ("dtype",))
        column = column_of(metric)
        by_class = re.sub(r"_\d+$", "", column)  # as the columns of one that gives a number for each class
        if column in taken or column.startswith("val_") or (by_class != column and by_class in taken):
            raise RequestError(
                f"{METRICS}: the column {column} is there already; give this one a name: "
                f"{{{made.__name__}: {{name: …}}}}"
            )
        taken.add(column)


def metric_parts(metric: Metric) -> tuple[Any, Mapping[str, Any]]:
    """Return the class of a metric that the job names, and its arguments."""
    name, args = parts_of(metric)
    return keras_class(METRICS, "metrics", name), args


def column_of(metric: Metric) -> str:
    """Return its name in the rows: what the job calls it, else what Keras does."""
    named = parts_of(metric)[1].get("name")
    if named is not None:
        return str(named)
    made, _ = metric_parts(metric)
    own = parameters(made)["name"].default
    return str(own or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", made.__name__).lower())
