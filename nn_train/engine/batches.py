"""What a replica sees of a global batch: its rows, as the model takes them. No Ray here and no files."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nn_train.datasets import SplitData
from nn_train.engine.labels import one_hot
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest, as_input


class Batches:
    """Make what a model sees of examples.

    Args:
        data: the examples; of them only the divisor of images is used.
        one_hot_depth: C, when the model is trained on one-hot targets [N, C] instead of labels.
    """

    def __init__(self, data: SplitData, one_hot_depth: int | None) -> None:
        self.divisor, self.one_hot_depth = data.divisor, one_hot_depth

    def prepare(self, x: Nest, y: Nest, weight: Nest = None) -> tuple[Any, Any, Any]:
        """What the model sees, labels one-hot where asked: ``(x, y, weight or None)``."""
        x = as_input(x, self.divisor)
        return x, one_hot(y, self.one_hot_depth), weight


def steps_per_epoch(data: SplitData, batch_size: int) -> int | None:
    """Global batches of a pass over the training examples, the short last one included; None for a stream of unknown
    length."""
    size = int(data.train.cardinality()) if data.is_stream else data.train.size
    return -(-size // batch_size) if size > 0 else None


def may_be_without_rows(data: SplitData, batch_size: int, replicas: Replicas) -> bool:
    """Whether a replica can get no row of a short last batch."""
    return data.is_stream or 0 < data.train.size % batch_size < replicas.size


def stream(dataset: tf.data.Dataset, batch_size: int) -> Any:
    """Return global batches of a dataset of single examples, in one order on all workers."""
    options = tf.data.Options()
    options.deterministic = True
    return dataset.batch(batch_size).prefetch(2).with_options(options)
