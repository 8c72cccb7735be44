"""Rows that are read by their numbers, ahead of the steps that need them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_train.datasets import IndexedExamples
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError

AT_ONCE = 4  # batches that are read at the same time: what waits for a disk or a network does not compute
READY = 2  # batches that wait for their step
NOTHING = np.empty(0, np.int64)

Given = TypeVar("Given")


class Fetcher:
    """Reads batches of one part of the data in threads of their own, in the order in which they are needed.

    Args:
        examples: the part.
    """

    def __init__(self, examples: IndexedExamples) -> None:
        self.examples = examples
        self.like = examples.take(np.zeros(1, np.int64)).parts
        self.leaves = flat(self.like)
        self.failure: Exception | None = None  # of reading: TensorFlow keeps no more than its text
        self.wanted: Callable[[int], list[np.ndarray]]  # the arrays of a batch, by its number from 0 on
        self.dataset = self.endless()

    def batches(
        self, rows: Callable[[int], NDArray[np.int64]], first: int, stop: int, draws: tuple[int, int] | None = None
    ) -> Any:
        """An iterator over what ``packed`` takes; one at a time is in use. Behind the last batch it gives empty ones.

        Args:
            rows: the examples of a batch, by the batch's number.
            first, stop: the numbers of the batches are from ``first`` to before ``stop``.
            draws: seed and epoch, for training.

        Raises:
            TrainingError: a file is not what it was when the run began.
        """
        self.examples.check_unchanged()
        self.failure = None
        self.wanted = lambda at: self.read(rows(first + at) if first + at < stop else NOTHING, draws)
        return iter(self.dataset)

    def endless(self) -> tf.data.Dataset:
        """Batches as ``wanted`` gives them: traced once, not in every epoch, which would take as long as many reads."""
        kinds, shapes = [leaf.dtype for leaf in self.leaves], [leaf.shape[1:] for leaf in self.leaves]
        reader = weakref.ref(self)

        def wanted(at: np.int64) -> list[np.ndarray]:
            """TensorFlow keeps this for ever, and by the weak reference no examples with it."""
            fetcher = reader()
            assert fetcher is not None
            return fetcher.wanted(int(at))

        def fetch(at: tf.Tensor) -> tuple[tf.Tensor, ...]:
            tensors = tf.numpy_function(wanted, [at], kinds)
            for tensor, shape in zip(tensors, shapes, strict=True):
                tensor.set_shape([None, *shape])
            return tuple(tensors)

        options = tf.data.Options()
        # Nothing is left to it, and its thread often sleeps on when an iterator ends: up to as long as that has lived.
        options.autotune.enabled = False
        options.threading.private_threadpool_size = AT_ONCE  # those of the steps are busy with these
        numbers = tf.data.Dataset.range(2**62)
        read = numbers.map(fetch, num_parallel_calls=AT_ONCE, deterministic=True).prefetch(READY)
        return read.with_options(options)

    def read(self, index: NDArray[np.int64], draws: tuple[int, int] | None) -> list[np.ndarray]:
        """The arrays of these examples, in the order of their leaves."""
        try:
            if not len(index):
                return [leaf[:0] for leaf in self.leaves]
            found = flat(self.examples.take(index, draws).parts)
            self.check(found, len(index))
            return found
        except Exception as error:
            self.failure = self.failure or error
            raise

    def check(self, found: list[np.ndarray], count: int) -> None:
        """RequestError where examples are not like the first one."""
        forms = [[(leaf.dtype, leaf.shape[1:]) for leaf in leaves] for leaves in (found, self.leaves)]
        if forms[0] != forms[1] or any(len(leaf) != count for leaf in found):
            shown = [", ".join(f"{kind} {shape}" for kind, shape in form) for form in forms]
            raise RequestError(f"data.source: examples of {shown[0]} came where the first one is of {shown[1]}")

    def packed(self, leaves: Nest) -> tuple[Nest, ...]:
        """What an iterator gives as ``(x, y)`` or ``(x, y, weight)``."""
        packed: tuple[Nest, ...] = tf.nest.pack_sequence_as(self.like, leaves)
        return packed

    def told(self, call: Callable[[], Given]) -> Given:
        """What ``call`` gives; where it fails for what a reading thread raised, that is raised."""
        try:
            return call()
        except tf.errors.OpError as error:
            failure, self.failure = self.failure, None
            if failure is None:
                raise
            raise failure from error


def flat(parts: Nest) -> list[np.ndarray]:
    """The arrays of examples, float64 as float32, as those in memory become tensors."""
    leaves = (np.asarray(leaf) for leaf in tf.nest.flatten(parts))
    return [leaf.astype(np.float32) if leaf.dtype == np.float64 else leaf for leaf in leaves]


def fetcher_of(examples: object) -> Fetcher | None:
    """A fetcher for examples that are read by index; None for others."""
    return Fetcher(examples) if isinstance(examples, IndexedExamples) else None
