"""One call of ``fit``, ``evaluate`` or ``predict`` on several workers: what they make sure of together."""

from __future__ import annotations

import functools
import zlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.collectives import gather
from nn_train.engine.fit.callbacks import share_variables
from nn_train.engine.model_state import state_of
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError

under_way_of: dict[int, UnderWay] = {}  # by the identity of a model: of which a call is under way


class UnderWay:
    """One call of ``fit``, ``evaluate`` or ``predict``.

    Attributes:
        begun: whether all workers have the chief's values of all that the first step needs.
        steps_per_execution: the model's own.
    """

    def __init__(self, model: keras.Model, workers: Replicas) -> None:
        self.model, self.workers, self.begun = model, workers, False
        self.steps_per_execution = model.steps_per_execution

    def begin(self) -> None:
        """Take over the chief's values, before the first step. Collective."""
        self.begun = True
        self.share()

    def share(self) -> None:
        """Take over what the chief's callbacks may have changed. Collective.

        Raises:
            RequestError: the workers have not the same variables.
        """
        variables = state_of(self.model)
        if same_on_all([(tuple(variable.shape), str(variable.dtype)) for variable in variables], [], self.workers):
            share_variables(variables, self.workers)
        elif self.begun:  # a callback may build the chief's model before the others'
            raise RequestError(
                "the workers have different models; build the same on each, in nn_train.scope(), and let callbacks "
                "make no variables"
            )

    def check_length(self, batches: int | None) -> None:
        """Raise RequestError where another worker has another number of batches: the one with more would wait for ever.

        Collective. None: it is not known.
        """
        if not same_on_all(batches, [], self.workers):
            raise RequestError(
                f"the workers see different numbers of batches, this one {batches}; give each of them all of the data: "
                "the rows of a batch are dealt out here"
            )


def without_optionals(data: Nest) -> Any:
    """A batch with None where Keras' adapters, or the data, say that nothing is given."""
    return keras.tree.map_structure(lambda leaf: None if is_optional(leaf) else leaf, data)


def is_optional(leaf: object) -> bool:
    return isinstance(leaf, tf.experimental.Optional | tf.OptionalSpec | tf.NoneTensorSpec)


def leaves_of(data: Nest) -> list[Any]:
    """The tensors of a batch, or their specifications."""
    return [leaf for leaf in keras.tree.flatten(data) if leaf is not None and not is_optional(leaf)]


def check_same(data: Nest, workers: Replicas) -> None:
    """Raise RequestError where a worker sees other batches than the others, as where each reads a part of the data.

    Collective. An empty list: there is no more.
    """
    leaves = [leaf for leaf in leaves_of(data) if isinstance(leaf, tf.Tensor)]
    contents = [np.ascontiguousarray(leaf).tobytes() for leaf in map(np.asarray, leaves) if leaf.dtype.kind != "O"]
    if not same_on_all([(tuple(leaf.shape), leaf.dtype.name) for leaf in leaves], contents, workers):
        raise RequestError(
            "the workers see different batches; give each of them all of the data, in the same order (no random "
            "numbers that differ, no parallel maps that are not deterministic): the rows of a batch are dealt out here"
        )


def same_on_all(description: Any, contents: list[bytes], workers: Replicas) -> bool:
    """Whether all workers have the same; the answer is the same on all. Collective."""
    mark = zlib.crc32(repr(description).encode())
    for content in contents:
        mark = zlib.crc32(content, mark)
    return bool(all_equal(workers)(tf.constant(mark, tf.int64)))


@functools.cache
def all_equal(workers: Replicas) -> Any:
    """A graph of whether all workers have the same int64: its messages are arranged once, outside of one each time."""

    def compare(mark: tf.Tensor) -> tf.Tensor:
        marks = gather(mark, workers)
        return tf.reduce_all(marks == marks[0])

    return tf.function(compare, input_signature=[tf.TensorSpec([], tf.int64)], autograph=False)
