"""What the replicas count for a model's metrics between two resets. No Ray here and no files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.collectives import gather_from_all, put, sums
from nn_train.engine.strategy import Replicas

Logs = dict[str, float]


class MetricState:
    """The sums and counts in the metrics of one model.

    Args:
        model, replicas: the model, and this process's place.
        same_on_all: whether each replica has counted the rows of all instead of its own.
    """

    def __init__(self, model: keras.Model, replicas: Replicas, same_on_all: bool) -> None:
        self.model, self.replicas, self.same_on_all = model, replicas, same_on_all
        self._gather: Callable[[], np.ndarray] | None = None

    def gather(self) -> np.ndarray:
        """What every replica has counted so far, float64 [R, M]. Collective."""
        if self._gather is None:
            self._gather = gather_from_all(self.model.metrics_variables, self.replicas)
        return self._gather()

    def put(self, counted: np.ndarray) -> None:
        """Set what ``gather`` gave; for another number of replicas the chief takes the sum of all."""
        if self.same_on_all:
            counted = np.repeat(counted[:1], self.replicas.size, axis=0)
        elif len(counted) != self.replicas.size:
            counted = np.concatenate([counted.sum(axis=0)[None], np.zeros((self.replicas.size - 1, counted.shape[1]))])
        put(self.model.metrics_variables, counted[self.replicas.rank])

    def read(self) -> Logs:
        """The model's metrics over all replicas, which keep what they have counted. Collective."""
        return numbers_of(self.results())

    @tf.function(autograph=False)
    def results(self) -> dict[str, tf.Tensor]:
        variables = self.model.metrics_variables
        own = [tf.identity(variable.value) for variable in variables]
        for variable, value in zip(variables, sums(own, self.replicas), strict=True):
            variable.assign(value)
        found = {name: tf.nest.map_structure(tf.identity, one) for name, one in self.model.get_metrics_result().items()}
        for variable, value in zip(variables, own, strict=True):
            variable.assign(value)
        return found


def flat(results: dict[str, Any]) -> dict[str, Any]:
    """Without dicts within: where a step returns ``{m.name: m.result() for m in self.metrics}`` the compiled metrics
    are one of them. As Keras' ``pythonify_logs``."""
    found: dict[str, Any] = {}
    for name, value in results.items():
        found |= flat(value) if isinstance(value, dict) else {name: value}
    return found


def numbers_of(results: dict[str, Any]) -> Logs:
    """Results of metrics as numbers: of a vector, such as F1 by class, ``name_0`` and so on. What is not finite is
    left out."""
    numbers: Logs = {}
    for name, value in results.items():
        array = np.asarray(value)
        named = {name: array} if array.ndim == 0 else {f"{name}_{i}": one for i, one in enumerate(array.reshape(-1))}
        numbers |= {key: float(number) for key, number in named.items() if np.isfinite(number)}
    return numbers
