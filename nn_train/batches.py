"""What a replica sees of a global batch: its rows, as the model takes them. No Ray here and no files."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nn_train.datasets import SplitData
from nn_train.replication import Replicas
from nn_train.tensors import rows_of


class Batches:
    """The rows of one replica.

    Args:
        data: the examples; of them only the divisor of images is used.
        replicas: this process's place.
        one_hot_depth: C, when the model is trained on one-hot targets [N, C] instead of labels.
    """

    def __init__(self, data: SplitData, replicas: Replicas, one_hot_depth: int | None) -> None:
        self.divisor, self.replicas, self.one_hot_depth = data.divisor, replicas, one_hot_depth

    def prepare(self, x: Any, y: Any) -> tuple[Any, Any]:
        """What the model sees: image bytes as float32 in [0, 1], labels one-hot where asked."""
        if self.divisor is not None:
            x = tf.nest.map_structure(lambda tensor: tf.cast(tensor, tf.float32) / self.divisor, x)
        if self.one_hot_depth is not None:
            y = tf.one_hot(y, self.one_hot_depth)
        return x, y

    def own(self, batch: Any) -> tuple[Any, tf.Tensor]:
        """This replica's rows of a global batch ``(x, y)`` or ``(x, y, sample_weight)``, and the global count."""
        rows = tf.shape(tf.nest.flatten(batch)[0])[0]
        low, high = self.replicas.rows(rows)
        x, y, *weight = rows_of(batch, low, high)
        return (*self.prepare(x, y), weight[0] if weight else None), rows


def stream(dataset: Any, batch_size: int) -> Any:
    """Global batches of a dataset of single examples, in one order on all workers."""
    options = tf.data.Options()
    options.deterministic = True
    return dataset.batch(batch_size).prefetch(2).with_options(options)
