"""What the replicas count for a model's metrics between two resets. No Ray here and no files."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.collectives import gather_from_all, put_on_each
from nn_train.engine.strategy import Replicas

Logs = dict[str, float]


class MetricState:
    """The sums and counts in the metrics of one model: each replica has its own."""

    def __init__(self, model: keras.Model, replicas: Replicas) -> None:
        self.model, self.replicas = model, replicas
        self._gather: Callable[[], np.ndarray] | None = None

    def gather(self) -> np.ndarray:
        """What every replica has counted so far, float64 [R, M]. Collective."""
        if self._gather is None:
            self._gather = gather_from_all(self.model.metrics_variables, self.replicas)
        return self._gather()

    def put(self, counted: np.ndarray) -> None:
        """Set what ``gather`` gave; for another number of replicas the chief takes the sum of all."""
        if len(counted) != self.replicas.size:
            counted = np.concatenate([counted.sum(axis=0)[None], np.zeros((self.replicas.size - 1, counted.shape[1]))])
        put_on_each(self.model.metrics_variables, counted[self.replicas.rank], self.replicas)

    def read(self) -> Logs:
        """The model's metrics over all replicas. Collective: reading a metric's variable sums it."""
        results = {}
        for name, value in self.results().items():
            array = np.asarray(value)
            if array.ndim == 0 and np.isfinite(array):
                results[name] = float(array)
        return results

    @tf.function(autograph=False)
    def results(self) -> dict[str, tf.Tensor]:
        """The results of those of the model's metrics whose value does not depend on how the rows were dealt out."""
        results = self.model.get_metrics_result()
        # Keras weighs the batches of its own loss trackers by a static shape, which is not known here.
        trackers = {"loss", *(metric.name for metric in getattr(self.model._compile_loss, "metrics", ()))}
        return {name: value for name, value in results.items() if name not in trackers}
