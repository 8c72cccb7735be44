"""Epochs of a model whose parts do not add up: a graph call for each batch, which every worker is given whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_train.datasets import Examples, SplitData
from nn_train.datasets.fingerprints import CONTRACT
from nn_train.engine.batches import stream
from nn_train.engine.chunks import ChunkHooks
from nn_train.engine.collectives import same_on_all
from nn_train.engine.fetched import Fetcher, fetcher_of
from nn_train.engine.loop import Advance, Loop
from nn_train.engine.metric_state import Logs, numbers_of
from nn_train.engine.steps import Batch
from nn_train.engine.strategy import Replicas, alone
from nn_train.engine.tensors import Nest, first_dimension, gather, rows_of, to_tensors
from nn_train.engine.whole_steps import WholeSteps
from nn_train.errors import RequestError


class WholeLoop(Loop):
    """A ``Loop`` over the same batches in the same order, whose numbers are those of ``nn_train.fit``.

    Args:
        whole: the steps of the model.
        data, replicas, batch_size, seed, one_hot_depth: as for a ``Loop``.
    """

    def __init__(
        self,
        whole: WholeSteps,
        data: SplitData,
        replicas: Replicas,
        batch_size: int,
        seed: int,
        one_hot_depth: int | None,
    ) -> None:
        self.whole = whole
        self.logs: dict[str, Any] = {}  # of the last training step
        super().__init__(whole.model, data, replicas, batch_size, seed, one_hot_depth)

    def make_steps(self) -> None:
        self.fed = alone(self.replicas)  # each is given the whole batch
        self.metric_state.same_on_all = True
        if self.fetcher is not None and not self.whole.by_batches:
            self.waited = 0.0
        held = self.data.validation
        self.validation_tensors = to_tensors(held) if isinstance(held, Examples) else None
        self.validation_fetcher = fetcher_of(held)

    def separate_seeds(self) -> None:
        """All workers draw the same numbers, those of the whole batch."""

    def results(self, examples: int, loss_sum: float) -> Logs:
        if self.last:
            self.logs = dict(zip(self.whole.given, self.last, strict=True))
        return self.whole.results(self.logs, examples, loss_sum)

    def train(self, batch: Batch, rows: tf.Tensor) -> list[Any]:
        logs = self.whole.train(batch if batch[2] is not None else batch[:2])
        return [tf.cast(logs["loss"], tf.float32), *(logs[name] for name in self.whole.given)]

    def nothing(self) -> list[tf.Tensor]:
        return [tf.zeros(spec.shape, spec.dtype) for spec in self.whole.given.values()]

    def stops(self, step: int, stop: int) -> list[int]:
        """A short last batch has a graph call of its own: in one, all messages of a kind have one length."""
        is_short = stop == self.steps_per_epoch and self.data.train.size % self.batch_size
        return [stop - 1, stop] if is_short and stop - step > 1 else [stop]

    def over_arrays(self, epoch: int) -> Advance:
        if not self.whole.by_batches:
            return super().over_arrays(epoch)
        order = self.order(epoch).all()

        def batches(step: int) -> Iterator[Nest]:
            for first in range(step * self.batch_size, len(order), self.batch_size):
                yield gather(self.train_tensors, tf.constant(order[first : first + self.batch_size]))

        return self.over(batches)

    def over_indexed(self, epoch: int, step: int) -> Advance:
        if not self.whole.by_batches:
            return super().over_indexed(epoch, step)
        assert self.fetcher is not None
        order, size = self.order(epoch), self.batch_size

        def rows(at: int) -> NDArray[np.int64]:
            return order.rows(at * size, min((at + 1) * size, order.size))

        iterator = self.fetched(self.fetcher, rows, step, -(-order.size // size), order.draws)
        return self.over(lambda _: iterator)

    def fetched(
        self,
        fetcher: Fetcher,
        rows: Callable[[int], NDArray[np.int64]],
        first: int,
        stop: int,
        draws: tuple[int, int] | None = None,
    ) -> Iterator[Nest]:
        """Whole batches that are read by index."""
        iterator = fetcher.batches(rows, first, stop, draws)
        for _ in range(first, stop):
            yield fetcher.packed(fetcher.told(lambda: next(iterator)))

    def over_stream(self, step: int, hooks: ChunkHooks) -> Advance:
        batches = self.together(self.stream_from(step, hooks))
        return self.over(lambda _: batches)

    def together(self, batches: Iterator[Nest]) -> Iterator[Nest]:
        """Yield the batches of a stream, which ends on all workers at once. Collective."""
        for batch in itertools.chain(batches, [None]):
            rows = 0 if batch is None else int(first_dimension(batch))
            if not same_on_all(self.replicas, rows):
                raise RequestError(f"data.source: the workers do not have as many examples. {CONTRACT}")
            if batch is not None:
                yield batch

    def over(self, batches_from: Callable[[int], Iterator[Nest]]) -> Advance:
        """Takes steps over the batches that follow a step."""
        left: list[Iterator[Nest]] = []
        self.stopped = False

        def advance(step: int, chunk: int, loss_sum: float) -> Any:
            if not left:
                left.append(batches_from(step))
            done, examples, loss = 0, 0, 0.0
            while (
                done < chunk and np.isfinite(loss) and not self.stopped and (batch := next(left[0], None)) is not None
            ):
                wish = self.listener.moment("on_train_batch_begin", step + done)
                self.logs = self.whole.train(self.seen(batch))
                rows, loss = int(first_dimension(batch)), float(self.logs["loss"])
                done, examples, loss_sum = done + 1, examples + rows, loss_sum + rows * loss
                ended = self.listener.moment("on_train_batch_end", step + done - 1, numbers_of(self.logs))
                self.stopped = wish or ended
            return done, examples, loss_sum, loss

        return advance

    def seen(self, batch: Nest) -> Any:
        """A batch as the model sees it, ``(x, y)`` or ``(x, y, weight)``."""
        return self.batches.prepare(*batch)[: len(batch)]

    def validate(self, hooks: ChunkHooks) -> Logs:
        """``loss`` and the model's metrics over the validation examples, in batches as in training.

        Raises:
            FloatingPointError: the loss is NaN or infinite.
        """
        logs: dict[str, Any] = {}
        self.model.reset_metrics()
        batches, first, seen, examples, loss_sum = self.validation_batches(), True, 0, 0, 0.0
        more = True
        while more:
            chunk, done, stop = hooks.validate(reads_stream=self.validation_tensors is None, first=first), 0, False
            while done < chunk and not stop and (batch := next(batches, None)) is not None:
                wish = self.listener.moment("on_test_batch_begin", seen)
                logs, done = self.whole.evaluate(self.seen(batch)), done + 1
                rows = int(first_dimension(batch))
                examples, loss_sum = examples + rows, loss_sum + rows * float(logs.get("loss", 0.0))
                stop = self.listener.moment("on_test_batch_end", seen, numbers_of(logs)) or wish or self.asked_to_stop
                seen += 1
            hooks.validated(done)
            first, more = False, done == chunk and not stop
        if not logs:
            raise RequestError("data.source: the validation dataset gave no example")
        results = self.whole.results(logs, examples, loss_sum)
        if not np.isfinite(results.get("loss", 0.0)):
            raise FloatingPointError(f"the validation loss is {results['loss']}")
        return results

    def validation_batches(self) -> Iterator[Nest]:
        if self.validation_fetcher is not None:
            held, rows = self.data.validation.size, self.batch_size
            yield from self.fetched(
                self.validation_fetcher,
                lambda at: np.arange(at * rows, min((at + 1) * rows, held)),
                0,
                -(-held // rows),
            )
            return
        if self.validation_tensors is None:
            yield from self.together(iter(stream(self.data.validation, self.batch_size)))
            return
        size = int(first_dimension(self.validation_tensors))
        for first in range(0, size, self.batch_size):
            yield rows_of(self.validation_tensors, first, first + self.batch_size)
