"""Whether the rows of a batch stand alone, tried on more of them than ``checks.py`` does, and again as a model trains.

Every other row is kept, and its neighbour replaced by a copy of it. A layer that computes row by row gives for those
that are kept the same to the last bit, for the shapes are the same: what rounds, or decides by a hair, is not taken for
a comparison. One that compares rows gives something else, be it only after some steps, or, since the numbers are tried
enlarged too, where a row is extreme. By halves of the batch one is seen that goes by the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.data_adapters import data_adapter_utils

from nn_train.engine.fit.trials import agree, at_rest, few_rows, first_rows, kept_by_layers, opened, short, values_of
from nn_train.engine.steps import call
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError

MOST = 32  # rows that are tried
ENLARGED = 10.0  # times: what few rows of the data may be
FINE, COARSE = 1e-3, 1e-2  # of the largest: what a sum may lose to roundings; what no rounding makes of most rows
Loss = Callable[[keras.Model, Nest, Nest, bool], float]  # of a model, a batch, its outputs, and whether it trains
WHEN = "{when}"  # in a message, where it is said whether the model trains
ALONE = "or train it on one worker"


@dataclass(frozen=True)
class Outcome:
    """What comes of a batch: outputs [N, …], the loss, and what layers keep of it."""

    outputs: list[np.ndarray]
    loss: float
    kept: list[np.ndarray]


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
        self.tried_after = 0

    def check_after(self, epoch: int, is_last: bool = False) -> None:
        """Raise RequestError, after so many epochs, where rows do not stand alone, though they did at first."""
        if epoch == self.tried_after or not (is_last or is_power_of_two(epoch)):
            return
        self.tried_after = epoch
        found = self.objection()
        if found:
            raise RequestError(
                f"{found}. It was not so before the training, and is after epoch {epoch}: what several workers have "
                "trained is not what one would have"
            )

    def objection(self) -> str:
        """What does not stand alone, in words; empty: nothing that could be seen."""
        if self.data is None:
            return ""
        with opened(self.model):
            return self.run(lambda: objection(self.model, self.data, self.loss_of))


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def objection(model: keras.Model, rows: Nest, loss_of: Loss) -> str:
    """What ``RowsApart`` says of an even number of rows."""
    count = next(int(leaf.shape[0]) for leaf in keras.tree.flatten(rows) if leaf is not None)
    for factor, training in ((1.0, False), (1.0, True), (ENLARGED, True)):
        x, *others = data_adapter_utils.unpack_x_y_sample_weight(rows)
        tried = (keras.tree.map_structure(lambda leaf, by=factor: times(leaf, by), x), *others)
        halves = [first_rows(tried, 0, count // 2), first_rows(tried, count // 2, count)]
        batches = [tried, tried, doubled(tried, 0), doubled(tried, 1), *halves]
        try:
            found = compared(model, *(outcome(model, batch, loss_of, training) for batch in batches))
        except Exception:
            continue  # what is wrong with it, if anything, its step will say
        if found:
            return found.replace(WHEN, ", while it trains," if training else "")
    return ""


def times(leaf: Nest, factor: float) -> Any:
    """Numbers, enlarged; what is no floating point number, as it is."""
    return leaf * tf.cast(factor, leaf.dtype) if leaf is not None and leaf.dtype.is_floating else leaf


def doubled(rows: Nest, first: int) -> Any:
    """A batch of as many rows, in which each second row, from ``first`` on, stands in its neighbour's place too."""
    return keras.tree.map_structure(lambda leaf: leaf if leaf is None else tf.repeat(leaf[first::2], 2, axis=0), rows)


def outcome(model: keras.Model, batch: Nest, loss_of: Loss, training: bool) -> Outcome:
    _, variables = kept_by_layers(model)
    with at_rest(model):
        predicted = call(model, data_adapter_utils.unpack_x_y_sample_weight(batch)[0], training)
        try:
            loss = loss_of(model, batch, predicted, training)
        except Exception:
            loss = np.nan  # as of a prediction, where it is a loss of targets
        kept = values_of(variables)
    leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(predicted) if isinstance(leaf, tf.Tensor)]
    return Outcome([leaf for leaf in leaves if leaf.ndim > 0 and leaf.dtype.kind in "fiu"], loss, kept)


def compared(
    model: keras.Model, whole: Outcome, again: Outcome, even: Outcome, odd: Outcome, first: Outcome, second: Outcome
) -> str:
    """What is not the same, with ``WHEN``; empty where the model draws in a way of its own."""
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(whole.outputs, again.outputs, strict=True)):
        return ""
    for place, given in enumerate(whole.outputs):
        halves = np.concatenate([first.outputs[place], second.outputs[place]])
        among_copies = [(given[start::2], one.outputs[place][start::2]) for start, one in enumerate((even, odd))]
        if not all(agree(model, *pair) for pair in among_copies) or most_rows_differ(given, halves):
            return (
                f"the outputs of the model for a row depend{WHEN} on the other rows of its batch, which other workers "
                f"have; let each row stand alone, {ALONE}"
            )
    largest = max(abs(one.loss) for one in (whole, even, odd, first, second))
    by_copies, by_halves = (abs(a.loss + b.loss - 2 * whole.loss) for a, b in ((even, odd), (first, second)))
    if again.loss == whole.loss and (by_copies > FINE * largest or by_halves > COARSE * largest):
        return (
            f"the loss of the model{WHEN} is no mean over the rows, so that it would depend on the number of workers. "
            f"Let it give a mean, {ALONE}"
        )
    for name, value, of_others in zip(kept_by_layers(model)[0], even.kept, odd.kept, strict=True):
        if not np.array_equal(value, of_others) and not agree(model, value, of_others):
            one, other = short(value, of_others)
            return depends_on_rows(name, f"after some rows it is {one}, after others {other}")
    return ""


def most_rows_differ(one: np.ndarray, other: np.ndarray) -> bool:
    """By more than roundings; a single row may have been decided by a hair."""
    if one.shape != other.shape:
        return True
    a, b = (np.asarray(value, np.float64).reshape(len(value), -1) for value in (one, other))
    apart = np.abs(a - b).max(axis=1, initial=0) > COARSE * np.abs(a).max(initial=0)
    return float(np.mean(apart)) > 0.5


def depends_on_rows(name: str, how: str) -> str:
    """Of a variable of a layer."""
    return (
        f"{name} depends on the rows that its layer sees: {how}. Each worker would keep its own; let the layer keep "
        f"what does not depend on the rows, {ALONE}"
    )
