"""A model is tried on a few rows: nothing happens by chance meanwhile, and afterwards the model is as it was."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.fit.draws import without_chance
from nn_train.engine.fit.random_state import global_generator
from nn_train.engine.fit.replacing import replaced
from nn_train.engine.tensors import Nest

ROWS = 5
MANY = 1000  # entries of an attribute that are looked at; more has only a list of words or the like
Numbers = dict[str, np.ndarray]  # what a trial comes to, by what it is called in a message
OPEN = 0.1  # what a weight of nothing but zeros is in a trial


@contextlib.contextmanager
def unchanged(model: keras.Model) -> Iterator[None]:
    """After it the model's variables are what they were."""
    of_metrics = [variable for metric in metrics_of(model) for variable in metric.variables]
    with kept([*all_variables(model), *of_metrics]):
        yield


@contextlib.contextmanager
def opened(model: keras.Model) -> Iterator[None]:
    """Meanwhile no weight is zero in all its entries: what a factor that begins with zero shuts off would show nothing
    of itself, and count from the first step on, or once a callback raises it.
    """
    numbers = [one for one in model.weights if tf.as_dtype(one.dtype).is_floating]
    shut = [one for one in numbers if not np.any(np.asarray(one.value))]
    with kept(shut):
        for one in shut:
            one.assign(tf.fill(tf.shape(one.value), tf.cast(OPEN, one.value.dtype)))
        yield


@contextlib.contextmanager
def at_rest(model: keras.Model, variables: list[Any] | None = None) -> Iterator[None]:
    """Meanwhile nothing is drawn or dropped, and BatchNormalization takes the moments that it keeps: what a model gives
    for a row, also while it trains, is a matter of this row and the weights alone, if layers look at no other rows.

    After it what a call changes, be it a weight as in SpectralNormalization, is as it was: ``variables``, or
    ``all_variables(model)``, which takes a while to find.
    """
    norm = keras.layers.BatchNormalization
    by_rows = norm.call

    def by_kept(layer: Any, inputs: Nest, training: bool | None = None, mask: Nest = None) -> Any:
        return by_rows(layer, inputs, training=False, mask=mask)

    with (
        kept(all_variables(model) if variables is None else variables),
        without_chance(),
        replaced(norm, "call", by_kept),
    ):
        yield


@contextlib.contextmanager
def kept(variables: list[Any]) -> Iterator[None]:
    variables = list({id(variable): variable for variable in variables}.values())
    before = [tensor_of(one) for one in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            if not bool(tf.reduce_all(tf.equal(tensor_of(variable), value))):
                variable.assign(value)


def tensor_of(variable: Any) -> tf.Tensor:
    """Its value now, which stays when the variable is given another; nothing is copied before."""
    return tf.convert_to_tensor(variable if isinstance(variable, tf.Variable) else variable.value)


def metrics_of(model: keras.Model) -> list[Any]:
    """Its metrics, each once, also those of layers within layers and of models within the model, which Keras lists
    several times or leaves out."""
    of_layers = [metric for layer in model._flatten_layers() for metric in layer._metrics]
    return list({id(metric): metric for metric in [*model.metrics, *of_layers]}.values())


def all_variables(model: keras.Model) -> list[Any]:
    """What a call of the model may change."""
    return [*model.variables, *states_beside(model)]


def states_beside(model: keras.Model) -> list[Any]:
    """What Keras does not count among a model's variables: its generator for everybody, and ``plain_variables``."""
    generator = global_generator()
    return [*([generator.state] if generator is not None else []), *plain_variables(model).values()]


def plain_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """TensorFlow's variables that layers hold, by ``layer.attribute``. Keras does not save them."""
    return {
        f"{layer.name}.{name}": variable
        for layer in model._flatten_layers()
        for attribute, value in vars(layer).items()
        if not attribute.startswith("_self_")  # where TensorFlow lists the others once more
        for name, variable in held_in(value, attribute)
    }


def held_in(value: object, name: str) -> Iterator[tuple[str, tf.Variable]]:
    """The variables in an attribute, in lists and dicts of it, and in a ``tf.Module``; with their places in it."""
    if isinstance(value, tf.Variable):
        yield name, value
    elif isinstance(value, dict | list | tuple):
        places = value.items() if isinstance(value, dict) else enumerate(value)
        for place, part in itertools.islice(places, MANY):
            yield from held_in(part, f"{name}[{place!r}]")
    elif isinstance(value, tf.Module):
        for number, variable in enumerate(value.variables):
            yield f"{name}.variables[{number}]", variable


def kept_by_layers(model: keras.Model) -> tuple[list[str], list[Any]]:
    """The variables that a step may change by itself, with their names before them: not generators of random numbers,
    nor what BatchNormalization keeps, which is put together."""
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    known = {id(variable) for layer in norms for variable in layer.non_trainable_variables}
    others = [variable for variable in model.non_trainable_variables if variable.name != "seed_generator_state"]
    kept, plain = [one for one in others if id(one) not in known], plain_variables(model)
    return [*(one.path for one in kept), *plain], [*kept, *plain.values()]


def values_of(variables: list[Any]) -> list[np.ndarray]:
    return [np.asarray(tf.convert_to_tensor(one) if isinstance(one, tf.Variable) else one.value) for one in variables]


def put(variables: list[Any], values: list[np.ndarray]) -> None:
    for variable, now, value in zip(variables, values_of(variables), values, strict=True):
        if not np.array_equal(now, value, equal_nan=value.dtype.kind == "f"):
            variable.assign(value)


def few_rows(data: Nest, each: int = 1, most: int = ROWS) -> Any:
    """The first rows of a batch: ``most`` or what there are, or two or more for ``each`` of so many workers.

    None where there are not two, or not one for each, or not all of it is dense.
    """
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    most = max(most, 2 * each) // each * each
    rows = min([most, *(int(leaf.shape[0]) for leaf in leaves if is_dense(leaf))]) // each * each
    return first_rows(data, 0, rows) if rows > 1 and all(map(is_dense, leaves)) else None


def first_rows(data: Nest, first: int, stop: int) -> Any:
    take: Callable[[Any], Any] = lambda leaf: leaf[first:stop] if is_dense(leaf) else leaf  # noqa: E731
    return keras.tree.map_structure(take, data)


def is_dense(leaf: Nest) -> bool:
    return isinstance(leaf, tf.Tensor) and leaf.shape.rank not in (0, None)


def short(one: np.ndarray, other: np.ndarray) -> tuple[str, str]:
    """Of two arrays what differs most, at most three entries, for a message."""
    pair = [np.asarray(value, np.float64).reshape(-1) for value in (one, other)]
    most = np.sort(np.argsort(-np.abs(pair[0] - pair[1]), kind="stable")[:3]) if one.shape == other.shape else slice(3)
    first, second = (np.array2string(value[most], precision=4, separator=", ") for value in pair)
    return first, second


def agree(model: keras.Model, one: Any, other: Any) -> bool:
    """Whether two values are equal up to ``precision``, of each number and of the largest."""
    largest = np.max(np.abs(one), initial=0, where=np.isfinite(one))
    return np.allclose(one, other, rtol=precision(model), atol=max(1e-6, precision(model) * largest), equal_nan=True)


def precision(model: keras.Model) -> float:
    """Relative: the roundings of the least precise layer, and on GPUs of TensorFloat-32."""
    least = min(tf.as_dtype(layer.compute_dtype).size for layer in model._flatten_layers())
    return 3e-2 if least < 4 else 1e-2 if tf.config.list_logical_devices("GPU") else 1e-5


def difference(
    model: keras.Model, one: Numbers, other: Numbers, places: tuple[str, str] = ("on one", "on several")
) -> str:
    """What differs by more than roundings, in words; empty: nothing. ``places``: where the numbers were found."""
    if one.keys() != other.keys():
        return f"{min(one.keys() ^ other.keys())}, is there {places[0]} and not {places[1]}, or the other way round"
    # Sums in another order differ by the largest of their parts, of which nearly nothing may be left.
    tolerance = max(1e-3, precision(model))
    noise = 1e-6 if tolerance == 1e-3 else tolerance  # of the largest: what is left of a gradient that is nought
    largest = max(
        (float(np.max(np.abs(value), initial=0)) for value in one.values() if np.all(np.isfinite(value))), default=0
    )
    for name in one:
        ours, theirs = (np.asarray(value, np.float64) for value in (one[name], other[name]))
        atol = tolerance * np.max(np.abs(ours), initial=0) + noise * largest
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=0, atol=atol, equal_nan=True):
            ours_said, theirs_said = short(ours, theirs)
            return f"{name}, is {ours_said} {places[0]} and {theirs_said} {places[1]}"
    return ""
