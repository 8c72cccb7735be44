"""The batches of one part of the data, one after the other: of arrays in memory, rows that are read by index, or a
stream. In a graph of many steps, or eagerly, one at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_train.datasets import Examples, IndexedExamples
from nn_train.engine.batches import Batches, stream
from nn_train.engine.chunks import ChunkHooks
from nn_train.engine.fetched import Fetcher
from nn_train.engine.order import Order
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import gather, rows_of, to_tensors

Source = Any  # arrays and an order of them, or an iterator
# Called with this process's rows of a batch as the model sees them, how many the whole batch has, and the seconds in
# which they were waited for.
Take = Callable[[Any, tf.Tensor, tf.Tensor], Any]
End = Callable[[], Any]  # called where a stream has no more


class Batch(NamedTuple):
    """Which batch of a pass; int64 scalars.

    Attributes:
        step: batches before it.
        batch_size: rows of all but the last one.
        size: examples of the pass; not used of a stream.
    """

    step: tf.Tensor
    batch_size: tf.Tensor
    size: tf.Tensor

    @property
    def first(self) -> tf.Tensor:
        """The number of its first row in the pass."""
        return self.step * self.batch_size

    @property
    def rows(self) -> tf.Tensor:
        """How many it has."""
        return tf.minimum(self.batch_size, self.size - self.first)


class InSequence:
    """Examples from ``first`` to before ``last``, in the place of an ``Order``."""

    draws = None

    def __init__(self, first: int, last: int) -> None:
        self.first, self.size = first, last - first

    def rows(self, first: int, last: int) -> NDArray[np.int64]:
        return np.arange(self.first + first, self.first + last)

    def all(self) -> NDArray[np.int32]:
        return np.arange(self.first, self.first + self.size, dtype=np.int32)


class Feeder(ABC):
    """Gives a process its rows of each global batch.

    Args:
        batches: makes of them what the model sees.
        fed: whose rows those are.
    """

    reads_stream = True  # whether reading may take longer than a step

    def __init__(self, batches: Batches, fed: Replicas) -> None:
        self.batches, self.fed = batches, fed

    @abstractmethod
    def source(self, order: Order | InSequence, batch_size: int, step: int, hooks: ChunkHooks) -> Any:
        """Make what ``take`` needs for a pass in an order, of which ``step`` batches are done."""

    @abstractmethod
    def take(self, source: Source, at: Batch, then: Take, end: End) -> Any:
        """Return ``then`` of a batch; ``end()`` where a stream has no more.

        Args:
            source: as ``source`` made it.
            at: which batch.
        """

    def told(self, call: Callable[[], Any]) -> Any:
        """Return what ``call`` gives, or raise what a thread that reads for it has raised."""
        return call()

    def edges(self, rows: Any) -> tuple[Any, Any]:
        """Return from where to where a batch of ``rows`` is this process's.

        Without a row it computes one, which counts for nothing.
        """
        low, high = self.fed.rows(rows)
        if self.fed.size == 1:
            return low, high
        low = tf.minimum(low, tf.maximum(rows - 1, 0)) if tf.is_tensor(rows) else min(low, max(rows - 1, 0))
        return low, tf.maximum(high, low + 1) if tf.is_tensor(rows) else max(high, low + 1)


class InMemory(Feeder):
    """Arrays in memory, as the bytes they came as."""

    reads_stream = False

    def __init__(self, examples: Examples, batches: Batches, fed: Replicas) -> None:
        super().__init__(batches, fed)
        self.tensors = to_tensors(examples)

    def source(self, order: Order | InSequence, batch_size: int, step: int, hooks: ChunkHooks) -> Any:
        return self.tensors, tf.constant(order.all())

    def take(self, source: Source, at: Batch, then: Take, end: End) -> Any:
        tensors, order = source
        low, high = self.edges(at.rows)
        own = gather(tensors, order[at.first + low : at.first + high])
        return then(self.batches.prepare(*own), at.rows, tf.constant(0.0, tf.float64))


class ByIndex(Feeder):
    """Rows that are read by their numbers, ahead of the steps."""

    def __init__(self, examples: IndexedExamples, batches: Batches, fed: Replicas) -> None:
        super().__init__(batches, fed)
        self.fetcher = Fetcher(examples)

    def source(self, order: Order | InSequence, batch_size: int, step: int, hooks: ChunkHooks) -> Any:
        def own(at: int) -> NDArray[np.int64]:
            first = at * batch_size
            low, high = self.edges(min(batch_size, order.size - first))
            return order.rows(first + low, first + high)

        return self.fetcher.batches(own, step, -(-order.size // batch_size), order.draws)

    def take(self, source: Source, at: Batch, then: Take, end: End) -> Any:
        before = tf.timestamp()
        with tf.control_dependencies([before]):
            own = source.get_next()
        with tf.control_dependencies(own):
            after = tf.timestamp()
        with tf.control_dependencies([after]):  # the one thread of a worker would compute first, and then look
            own = [tf.identity(leaf) for leaf in own]
        return then(self.batches.prepare(*self.fetcher.packed(own)), at.rows, after - before)

    def told(self, call: Callable[[], Any]) -> Any:
        return self.fetcher.told(call)


class Streamed(Feeder):
    """A ``tf.data`` stream of examples, of which every process reads the global batches."""

    def __init__(self, dataset: tf.data.Dataset, batches: Batches, fed: Replicas) -> None:
        super().__init__(batches, fed)
        self.dataset = dataset

    def source(self, order: Order | InSequence, batch_size: int, step: int, hooks: ChunkHooks) -> Any:
        """Batches that are done are read here and not by ``skip``, whose time would be taken for that of a step."""
        iterator = iter(stream(self.dataset, batch_size))
        for _ in range(step):
            next(iterator)
            hooks.alive()
        return iterator

    def take(self, source: Source, at: Batch, then: Take, end: End) -> Any:
        found = source.get_next_as_optional()

        def there() -> Any:
            batch = found.get_value()
            rows = tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]
            low, high = self.edges(rows)
            return then(self.batches.prepare(*rows_of(batch, low, high)), rows, tf.constant(0.0, tf.float64))

        return tf.cond(found.has_value(), there, end)


def feeder_of(examples: object, batches: Batches, fed: Replicas) -> Feeder:
    """The feeder of a part of the data."""
    if isinstance(examples, IndexedExamples):
        return ByIndex(examples, batches, fed)
    return InMemory(examples, batches, fed) if isinstance(examples, Examples) else Streamed(examples, batches, fed)
