"""Whether the rows of a batch stand alone, tried on more of them than ``checks.py`` does, and again as a model trains.

Every other row is kept, and its neighbour replaced by a copy of it. A layer that computes row by row gives for those
that are kept the same to the last bit, for the shapes are the same: what rounds, or decides by a hair, is not taken for
a comparison. One that compares rows gives something else, be it only after some steps, or, since the numbers are tried
enlarged too, where a row is extreme. By halves of the batch one is seen that goes by the number of rows; by copies of
one row, one that has room for so many that are alike. Gradients, which a layer can give in a way of its own, must be
put together of those of the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.data_adapters import data_adapter_utils

from nn_train.engine.fit.trials import (
    Numbers,
    agree,
    all_variables,
    at_rest,
    difference,
    few_rows,
    first_rows,
    kept_by_layers,
    opened,
    precision,
    short,
    values_of,
)
from nn_train.engine.steps import call
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError

MOST, LATER = 32, 8  # rows that are tried before a training, and again
AGAIN = 8  # times that what is refused must come out alike
ENLARGED = 10.0  # times: what few rows of the data may be
FINE, COARSE = 1e-3, 1e-2  # in float32, of the largest: what a sum may lose to roundings; what none makes of most rows
Loss = Callable[[keras.Model, Nest, Nest, bool], float]  # of a model, a batch, its outputs, and whether it trains
WHEN = "{when}"  # in a message, where it is said whether the model trains
ALONE = "or train it on one worker"


@dataclass(frozen=True)
class Outcome:
    """What comes of a batch: outputs [N, …], the loss, what layers keep of it, and the gradients of the outputs."""

    outputs: list[np.ndarray]
    loss: float
    kept: list[np.ndarray]
    gradients: Numbers


class Outcomes(NamedTuple):
    """Of a batch, and once more; of the rows at even places twice, at odd ones; of each half; of copies of one row."""

    whole: Outcome
    again: Outcome
    even: Outcome
    odd: Outcome
    first: Outcome
    second: Outcome
    copies: Outcome


class RowsApart:
    """Rows of a training with which its model is tried again: after the epochs 1, 2, 4, 8 … and the last.

    Args:
        model: of several workers, with the same values on all.
        data: a batch, the same on all.
        loss_of: what must be a mean over the rows.
        run: calls a function where the model can be called.
    """

    def __init__(
        self, model: keras.Model, data: Nest, loss_of: Loss, run: Callable[[Callable[[], str]], str] = lambda f: f()
    ) -> None:
        self.model, self.data, self.loss_of, self.run = model, few_rows(data, each=2, most=MOST), loss_of, run
        self.begin()

    def begin(self) -> None:
        """Before a training, be it another one with the same model."""
        self.tried_after = 0

    def check_after(self, epoch: int, is_last: bool = False) -> None:
        """Raise RequestError, after so many epochs, where rows do not stand alone, though they did at first."""
        if epoch == self.tried_after or not (is_last or is_power_of_two(epoch)) or is_of_keras(self.model):
            return
        self.tried_after = epoch
        found = self.objection(LATER)
        if found:
            raise RequestError(
                f"{found}. It was not so before the training, and is after epoch {epoch}: what several workers have "
                "trained is not what one would have"
            )

    def objection(self, most: int = MOST) -> str:
        """What of so many rows does not stand alone, in words; empty: nothing that could be seen."""
        if self.data is None:
            return ""
        with opened(self.model):
            return self.run(lambda: objection(self.model, few_rows(self.data, each=2, most=most), self.loss_of))


def is_of_keras(model: keras.Model) -> bool:
    """Whether all layers, and the functions that they are given, are Keras' own, which do not change with time."""
    layers = model._flatten_layers()
    held = [value for layer in layers for value in vars(layer).values() if callable(value)]
    calls_others = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
    return not any(type(layer).__name__ in calls_others for layer in layers) and all(
        str(getattr(one, "__module__", "")).startswith("keras.") for one in [*map(type, layers), *held]
    )


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def objection(model: keras.Model, rows: Nest, loss_of: Loss) -> str:
    """What ``RowsApart`` says of an even number of rows."""
    count = next(int(leaf.shape[0]) for leaf in keras.tree.flatten(rows) if leaf is not None)
    of = Subject(model, loss_of, kept_by_layers(model)[1], [*all_variables(model), *model.metrics_variables])
    try:
        outcome(of, rows, training=True)
    except Exception:  # some layers run in a graph alone
        of = replace(of, in_graph=True)
    return objection_of(of, rows, count)


def objection_of(of: Subject, rows: Nest, count: int) -> str:
    model = of.model
    for factor, training in ((1.0, False), (1.0, True), (ENLARGED, True)):
        x, *others = data_adapter_utils.unpack_x_y_sample_weight(rows)
        tried = (keras.tree.map_structure(lambda leaf, by=factor: times(leaf, by), x), *others)
        halves = [first_rows(tried, 0, count // 2), first_rows(tried, count // 2, count)]
        copies = keras.tree.map_structure(lambda leaf: leaf if leaf is None else tf.repeat(leaf[:1], count, 0), tried)
        batches = [tried, tried, doubled(tried, 0), doubled(tried, 1), *halves, copies]
        # Half precision may lose a tenth of a sum over many places.
        differentiated = 4 if training and factor == 1 and precision(model) <= COARSE else 0
        try:
            outcomes = [outcome(of, batch, training, i < differentiated) for i, batch in enumerate(batches)]
            found = compared(model, Outcomes(*outcomes))
        except Exception:
            continue  # what is wrong with it, if anything, its step will say
        if found and repeats(of, tried, training, outcomes[0]):
            return found.replace(WHEN, ", while it trains," if training else "")
    return ""


def repeats(of: Subject, rows: Nest, training: bool, before: Outcome) -> bool:
    """Whether a batch gives the same each time, so that nothing is drawn in a way that nobody knows here."""
    return all(same_outputs(outcome(of, rows, training), before) for _ in range(AGAIN))


def times(leaf: Nest, factor: float) -> Any:
    """Numbers, enlarged; what is no floating point number, as it is."""
    return leaf * tf.cast(factor, leaf.dtype) if leaf is not None and leaf.dtype.is_floating else leaf


def doubled(rows: Nest, first: int) -> Any:
    """A batch of as many rows, in which each second row, from ``first`` on, stands in its neighbour's place too."""
    return keras.tree.map_structure(lambda leaf: leaf if leaf is None else tf.repeat(leaf[first::2], 2, axis=0), rows)


@dataclass(frozen=True)
class Subject:
    """A model that is tried: what must be a mean over the rows, what layers keep, all that a call may change, and
    whether it is called in a graph."""

    model: keras.Model
    loss_of: Loss
    kept: list[Any]
    variables: list[Any]
    in_graph: bool = False

    def call(self, x: Nest, training: bool) -> Nest:
        if self.in_graph:
            graph = tf.function(lambda x: call(self.model, x, training), autograph=False)
            forms = keras.tree.map_structure(lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), x)
            return graph.get_concrete_function(forms)(x)  # a call of ``graph`` would be run in place (``draws.py``)
        return call(self.model, x, training)


def outcome(of: Subject, batch: Nest, training: bool, differentiated: bool = False) -> Outcome:
    model = of.model
    rows = next(int(leaf.shape[0]) for leaf in keras.tree.flatten(batch) if leaf is not None)
    with at_rest(model, of.variables):
        with tf.GradientTape() as tape:
            predicted = of.call(data_adapter_utils.unpack_x_y_sample_weight(batch)[0], training)
            outputs = [of_rows(leaf, rows) for leaf in keras.tree.flatten(predicted) if has_rows(leaf, rows)]
            total = sum((tf.reduce_mean(tf.square(tf.cast(leaf, tf.float32))) for leaf in outputs), tf.constant(0.0))
        gradients = gradients_of(model, tape, total) if differentiated else {}
        try:
            loss = of.loss_of(model, batch, predicted, training)
        except Exception:
            loss = np.nan  # as of a prediction, where it is a loss of targets
        state = values_of(of.kept)
    return Outcome([np.asarray(leaf) for leaf in outputs], loss, state, gradients)


def has_rows(leaf: Nest, rows: int) -> bool:
    """Whether numbers are those of rows, be it several entries of each."""
    is_numbers = isinstance(leaf, tf.Tensor) and (leaf.dtype.is_floating or leaf.dtype.is_integer)
    return is_numbers and leaf.shape.rank != 0 and leaf.shape[0] > 0 and leaf.shape[0] % rows == 0


def of_rows(leaf: tf.Tensor, rows: int) -> tf.Tensor:
    """[rows, …], float32 or float64."""
    return tf.reshape(leaf if leaf.dtype == tf.float64 else tf.cast(leaf, tf.float32), [rows, -1])


def gradients_of(model: keras.Model, tape: tf.GradientTape, total: Any) -> Numbers:
    """By the name of the weight; of a table of which rows are looked up, the sum over these."""
    found: Numbers = {}
    weights = model.trainable_variables
    for weight, gradient in zip(weights, tape.gradient(total, weights), strict=True):
        if isinstance(gradient, tf.IndexedSlices):
            gradient = tf.reduce_sum(gradient.values, axis=0)
        if gradient is not None and np.all(np.isfinite(gradient)):
            found[f"the gradient of {weight.path}"] = np.asarray(gradient)
    return found


def compared(model: keras.Model, of: Outcomes) -> str:
    """What is not the same, with ``WHEN``; empty where the model draws in a way of its own."""
    if not same_outputs(of.whole, of.again):
        return ""
    if outputs_depend(model, of):
        return (
            f"the outputs of the model for a row depend{WHEN} on the other rows of its batch, which other workers "
            f"have; let each row stand alone, {ALONE}"
        )
    if of.again.loss == of.whole.loss and is_no_mean(model, of):
        return (
            f"the loss of the model{WHEN} is no mean over the rows, so that it would depend on the number of workers. "
            f"Let it give a mean, {ALONE}"
        )
    gradient = "" if difference(model, of.whole.gradients, of.again.gradients) else no_sum(model, of)
    if gradient:
        return (
            f"{gradient}{WHEN} is no sum over the rows, as where a layer divides it by a norm of all of them, of which "
            f"other workers have others; let each row stand alone, {ALONE}"
        )
    for name, one, other in zip(kept_by_layers(model)[0], of.even.kept, of.odd.kept, strict=True):
        if not np.array_equal(one, other) and not agree(model, one, other):
            after_some, after_others = short(one, other)
            return depends_on_rows(name, f"after some rows it is {after_some}, after others {after_others}")
    return ""


def same_outputs(one: Outcome, other: Outcome) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one.outputs, other.outputs, strict=True))


def outputs_depend(model: keras.Model, of: Outcomes) -> bool:
    """Whether what a row gives depends on others."""
    for place, given in enumerate(of.whole.outputs):
        even, odd, first, second, copies = (one.outputs[place] for one in of[2:])
        halves, alike = np.concatenate([first, second]), np.broadcast_to(copies[:1], copies.shape)
        if not (agree(model, given[0::2], even[0::2]) and agree(model, given[1::2], odd[1::2])):
            return True
        # The shapes of halves, and the places of copies, are others: of these a rounding is no comparison.
        if rows_apart(given, halves, coarse(model)) > 0.5 or rows_apart(copies, alike, coarse(model)) > 0:
            return True
    return False


def is_no_mean(model: keras.Model, of: Outcomes) -> bool:
    """Whether the loss is not the mean of that of the rows that are kept twice, and of that of the halves."""
    largest = max(abs(one.loss) for one in of)
    by_copies, by_halves = (
        abs(one.loss + other.loss - 2 * of.whole.loss) for one, other in ((of.even, of.odd), (of.first, of.second))
    )
    return by_copies > max(FINE, precision(model)) * largest or by_halves > coarse(model) * largest


def coarse(model: keras.Model) -> float:
    return max(COARSE, 2 * precision(model))


def no_sum(model: keras.Model, of: Outcomes) -> str:
    """Which gradient is not put together of that of the rows that are kept twice; empty: none."""
    whole, even, odd = of.whole.gradients, of.even.gradients, of.odd.gradients
    names = [name for name in whole if name in even and name in odd]  # of those that are finite
    twice = {name: 2 * whole[name] for name in names}
    together = {name: even[name] + odd[name] for name in names}
    return difference(model, twice, together).partition(",")[0]


def rows_apart(one: np.ndarray, other: np.ndarray, tolerance: float) -> float:
    """The share of rows that differ, by more than so much of the largest. A few may have been decided by a hair."""
    if one.shape != other.shape:
        return 1.0
    a, b = (np.asarray(value, np.float64).reshape(len(value), -1) for value in (one, other))
    return float(np.mean(np.abs(a - b).max(axis=1, initial=0) > tolerance * np.abs(a).max(initial=0)))


def depends_on_rows(name: str, how: str) -> str:
    """Of a variable of a layer."""
    return (
        f"{name} depends on the rows that its layer sees: {how}. Each worker would keep its own; let the layer keep "
        f"what does not depend on the rows, {ALONE}"
    )
