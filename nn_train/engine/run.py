"""Steps over the batches of a pass: many of them in one graph, or one by one where somebody is told of each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from nn_train.datasets.fingerprints import CONTRACT
from nn_train.engine.chunks import Listener, Nobody
from nn_train.engine.collectives import same_on_all
from nn_train.engine.feeders import Batch, Feeder, Source
from nn_train.engine.metric_state import Logs
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError

NO_END = 2**62  # steps of a stream


@dataclass
class Reached:
    """The place of a pass.

    Attributes:
        step: steps done.
        examples: of them.
        loss_sum: of the losses of the examples, a Python float (float64).
        loss: the last one.
        last: what the last step gave beside it.
        waited: seconds for rows.
        ended: whether a stream, or the wish of a callback, ended the pass.
    """

    step: int = 0
    examples: int = 0
    loss_sum: float = 0.0
    loss: float = 0.0
    last: list[Any] = field(default_factory=list)
    waited: float = 0.0
    ended: bool = False


class Run:
    """Takes the steps of one kind over one part of the data.

    Args:
        kind: ``train`` or ``test``.
        step: a function of a batch and the number of its rows; gives its loss and more.
        nothing: in the place of that more before the first step.
        logs: that more as numbers; for a listener.
        feeder: gives the batches.
        replicas: this process's place.
        one_by_one: whether batches may have no graph in common, as where somebody is told of each.
        one_length: whether a short last batch has a graph call of its own: in one, all messages of a kind have one
            length.
    """

    def __init__(
        self,
        kind: str,
        step: Callable[[Any, tf.Tensor], list[Any]],
        nothing: list[tf.Tensor],
        logs: Callable[[list[Any]], Logs],
        feeder: Feeder,
        replicas: Replicas,
        one_by_one: bool,
        one_length: bool,
    ) -> None:
        self.kind, self.step, self.nothing, self.logs = kind, step, nothing, logs
        self.feeder, self.replicas, self.one_length = feeder, replicas, one_length
        self.advance = self.batchwise if one_by_one else self.in_graphs
        self.listener: Listener = Nobody()
        self.asked_to_stop = False  # before the first batch, which is the last one then, as in Keras

    def in_graphs(self, source: Source, batch_size: int, size: int, to: int, at: Reached) -> Reached:
        """Take the steps up to ``to``. Stops early when the loss is not finite.

        Args:
            source: what the feeder gave for this pass.
            batch_size, size: rows of a batch, and examples of the pass, 0 for a stream.
            to: steps.
            at: where the pass is.
        """
        short = self.one_length and bool(size % batch_size) and to == -(-size // batch_size)
        for stop in [to - 1, to] if short and to - at.step > 1 else [to]:
            numbers = [tf.constant(one, tf.int64) for one in (batch_size, size, at.step, stop)]
            call = functools.partial(self.graph, source, *numbers, tf.constant(at.loss_sum, tf.float64))
            step, there, examples, loss_sum, loss, waited, *last = self.feeder.told(call)
            at = Reached(
                int(step),
                at.examples + int(examples),
                float(loss_sum),
                float(loss),
                last,
                at.waited + float(waited),
                not bool(there),
            )
            if at.step < stop:
                break
        return at

    @tf.function(reduce_retracing=True, autograph=False)
    def graph(
        self,
        source: Source,
        batch_size: tf.Tensor,
        size: tf.Tensor,
        step: tf.Tensor,
        stop: tf.Tensor,
        loss_sum: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        """The steps from ``step`` to before ``stop``."""

        def more(
            step: tf.Tensor, there: tf.Tensor, _: tf.Tensor, __: tf.Tensor, loss: tf.Tensor, *___: tf.Tensor
        ) -> Any:
            return there & (step < stop) & tf.math.is_finite(loss)

        def one(
            step: tf.Tensor, _: tf.Tensor, examples: tf.Tensor, loss_sum: tf.Tensor, loss: tf.Tensor, *rest: tf.Tensor
        ) -> Any:
            def done(batch: Nest, rows: tf.Tensor, waits: tf.Tensor) -> tuple[Any, ...]:
                loss, *last = self.step(batch, rows)
                summed = loss_sum + tf.cast(loss, tf.float64) * tf.cast(rows, tf.float64)
                return step + 1, tf.constant(True), examples + rows, summed, loss, rest[0] + waits, *last

            def ended() -> tuple[Any, ...]:
                return step, tf.constant(False), examples, loss_sum, loss, *rest

            return self.feeder.take(source, Batch(step, batch_size, size), done, ended)

        none = tf.constant(True), tf.constant(0, tf.int64), loss_sum, tf.constant(0.0)
        found: tuple[tf.Tensor, ...] = tf.while_loop(
            more, one, (step, *none, tf.constant(0.0, tf.float64), *self.nothing)
        )
        return found

    def batchwise(self, source: Source, batch_size: int, size: int, to: int, at: Reached) -> Reached:
        """The same, a graph call for each batch, of which the listener is told. Collective."""
        rows_each, of_all = tf.constant(batch_size, tf.int64), tf.constant(size, tf.int64)
        while at.step < to and np.isfinite(at.loss) and not at.ended:
            batch_at = Batch(tf.constant(at.step, tf.int64), rows_each, of_all)
            found = self.feeder.told(functools.partial(self.feeder.take, source, batch_at, given, nothing))
            if not size and not same_on_all(self.replicas, 0 if found is None else int(found[1])):
                raise RequestError(f"data.source: the workers do not have as many examples. {CONTRACT}")
            if found is None:
                at.ended = True
                break
            batch, rows, waits = found
            wish = self.listener.moment(f"on_{self.kind}_batch_begin", at.step)
            loss, *at.last = self.step(batch, rows)
            at.loss, at.waited = float(loss), at.waited + float(waits)
            at.loss_sum, at.examples = at.loss_sum + int(rows) * at.loss, at.examples + int(rows)
            stop = self.listener.moment(f"on_{self.kind}_batch_end", at.step, self.logs(at.last))
            at.step, at.ended = at.step + 1, stop or wish or self.asked_to_stop
        return at


def given(batch: Nest, rows: tf.Tensor, waits: tf.Tensor) -> tuple[Any, ...]:
    return batch, rows, waits


def nothing() -> None:
    return None
