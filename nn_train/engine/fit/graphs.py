"""The graphs of one step: for one batch, and for several alike one after the other, without Python in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from nn_train.engine.fit.under_way import leaves_of
from nn_train.engine.tensors import Nest


class Graphs:
    """Runs a step in graphs, which are kept.

    Within one graph call all messages of a kind have the length of the first: a batch that has other shapes than those
    before it begins another call.

    Args:
        step: takes a batch as Keras hands it to a step.
        joins: whether the outputs of several batches are put together row by row; otherwise those of the last count.
    """

    def __init__(self, step: Callable[[Nest], Any], joins: bool) -> None:
        self.step, self.joins = step, joins
        self.kept: dict[Any, tuple[Any, Any]] = {}  # by the structure of the batches, and what shapes all have

    def of(self, data: Nest, specs: list[Any] | None) -> tuple[Any, Any]:
        """Functions of the leaves of a batch like ``data``, and of several ones', stacked. As Keras does, they take
        from an iterator (``specs``) what shapes all batches have."""
        key = str(keras.tree.map_structure(lambda leaf: leaf is None, data)), repr(specs)
        if key not in self.kept:
            one = traced(self.on_leaves_of(data), specs)
            stacked = None if specs is None else [tf.TensorSpec([None, *of.shape], of.dtype) for of in specs]
            self.kept[key] = one, traced(lambda leaves: self.one_by_one(one, leaves), stacked)
        return self.kept[key]

    def on_leaves_of(self, data: Nest) -> Callable[[list[Any]], Any]:
        def on_leaves(leaves: list[Any]) -> Any:
            given = iter(leaves)
            return self.step(keras.tree.map_structure(lambda leaf: None if leaf is None else next(given), data))

        return on_leaves

    def trace(self, data: Nest, specs: list[Any] | None) -> None:
        """Make all that the step makes when it is traced for the first time, and run nothing."""
        self.of(data, specs)[0].get_concrete_function(leaves_of(data))

    def run(self, batches: list[Any], specs: list[Any] | None) -> Any:
        """The outputs of the steps over batches that are ``alike``."""
        one, several = self.of(batches[0], specs)
        leaves = [leaves_of(batch) for batch in batches]
        if len(batches) > 1 and all(map(is_plain, outputs_of(one, leaves[0]))):
            return several([tf.stack(of_all) for of_all in zip(*leaves, strict=True)])
        found = [one(of_batch) for of_batch in leaves]
        return joined(found) if self.joins else found[-1]

    def one_by_one(self, one: Any, stacked: list[Any]) -> Any:
        """The steps over the leaves [k, n, …] of k batches, each once that before it has ended."""
        count = tf.shape(stacked[0])[0]
        first = [leaf[0] for leaf in stacked]
        outputs = one.get_concrete_function(first).structured_outputs
        kept = [tf.TensorArray(of.dtype, count, infer_shape=False) for of in outputs_of(one, first) if of is not None]

        def take(i: tf.Tensor, *kept: Any) -> tuple[Any, ...]:
            found = [value for value in tf.nest.flatten(one([leaf[i] for leaf in stacked])) if value is not None]
            return i + 1, *(array.write(i, value) for array, value in zip(kept, found, strict=True))

        _, *kept = tf.while_loop(lambda i, *_: i < count, take, (0, *kept), parallel_iterations=1)
        values = iter(array.concat() if self.joins else array.read(count - 1) for array in kept)
        return tf.nest.map_structure(lambda of: None if of is None else self.shaped(next(values), of.shape), outputs)

    def shaped(self, value: tf.Tensor, of_one: tf.TensorShape) -> tf.Tensor:
        value.set_shape([None, *of_one[1:]] if self.joins else of_one)
        return value


def outputs_of(one: Any, leaves: list[Any]) -> list[Any]:
    """What the graph of a batch gives, flat: symbolic tensors, or None."""
    found: list[Any] = tf.nest.flatten(one.get_concrete_function(leaves).structured_outputs)
    return found


def is_plain(output: object) -> bool:
    return output is None or isinstance(output, tf.Tensor | tf.TensorSpec)


def traced(function: Callable[[list[Any]], Any], specs: list[Any] | None) -> Any:
    signature = None if specs is None else [specs]
    return tf.function(function, input_signature=signature, reduce_retracing=signature is None, autograph=False)


def joined(outputs: list[Any]) -> Any:
    return keras.tree.map_structure(lambda *parts: tf.concat(parts, axis=0), *outputs)


def alike(one: Nest, other: Nest) -> bool:
    """Whether two batches can be stacked: dense, and of the same shapes and kinds."""

    def signs(batch: Nest) -> list[Any]:
        leaves = keras.tree.flatten(batch)
        return [(tuple(leaf.shape), leaf.dtype) if isinstance(leaf, tf.Tensor) else leaf for leaf in leaves]

    leaves = keras.tree.flatten([one, other])
    return all(leaf is None or isinstance(leaf, tf.Tensor) for leaf in leaves) and signs(one) == signs(other)
