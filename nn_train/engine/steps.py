"""The training and the test step of a model: Keras' own, or the user's, with distributed parts in place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.metric_state import Logs, flat, numbers_of
from nn_train.engine.model_state import make_plain, optimizers_of
from nn_train.engine.parts import Parts
from nn_train.engine.probe import check_step
from nn_train.engine.rows import Rows
from nn_train.engine.spread import is_overridden, spread_step
from nn_train.engine.strategy import Replicas, alone
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError

OWN = ("train_step", "test_step", "compute_metrics")


def trains_its_own_way(model: keras.Model) -> bool:
    """Return whether a compiled model does, on any number of workers, what ``FastSteps`` would leave out."""
    several_losses = bool(getattr(model._compile_loss, "metrics", ())) or len(optimizers_of(model)) > 1
    return several_losses or any(is_overridden(model, name) for name in OWN)


class Steps(ABC):
    """The steps of a built and compiled model with plain variables.

    Args:
        model, replicas: the model, and this process's place.

    Attributes:
        fed: whose rows of a training batch this process is given.
        adds_up: whether each worker counts its own rows for metrics, and draws random numbers of its own.
    """

    adds_up: bool

    def __init__(self, model: keras.Model, replicas: Replicas) -> None:
        self.model, self.replicas, self.fed = model, replicas, replicas

    @abstractmethod
    def train(self, batch: Nest, rows: tf.Tensor) -> list[Any]:
        """Update the weights from a global batch of so many rows; in a graph.

        Returns:
            its loss (float32 scalar), and what else is to be known of the last step, as ``nothing`` says.
        """

    @abstractmethod
    def test(self, batch: Nest, rows: tf.Tensor, fed: Replicas) -> list[Any]:
        """Update the metrics. Returns likewise; the loss is the part of the rows that are this worker's by ``fed``."""

    def nothing(self, kind: str) -> list[tf.Tensor]:
        """In the place of what a ``train`` or ``test`` step gives beside the loss, before the first."""
        return []

    def logs(self, last: list[Any], kind: str) -> Logs:
        """Return the numbers among what a step gave beside the loss."""
        return {}

    def results(self, metrics: Logs, examples: int, loss_sum: float, last: list[Any], kind: str) -> Logs:
        """Return ``loss`` and the model's metrics over a pass.

        Args:
            metrics: as the model's metrics have counted them, of all workers.
            examples, loss_sum: how many there were, and the sum of the losses of their steps.
            last: what the last step gave beside the loss.
            kind: of the step.
        """
        return {**{name: value for name, value in metrics.items() if name != "loss"}, "loss": loss_sum / examples}


class FastSteps(Steps):
    """Each worker computes its rows, and the parts are added: for models whose loss and metrics are sums over rows.

    Args:
        model, replicas: as for all ``Steps``.
        may_be_empty: whether a worker can be without a row.
    """

    adds_up = True

    def __init__(self, model: keras.Model, replicas: Replicas, may_be_empty: bool) -> None:
        super().__init__(model, replicas)
        self.may_be_empty = may_be_empty and replicas.size > 1

    def train(self, batch: Nest, rows: tf.Tensor) -> list[Any]:
        return [Parts(self.model, Rows(rows, self.replicas), self.may_be_empty).train(batch)]

    def test(self, batch: Nest, rows: tf.Tensor, fed: Replicas) -> list[Any]:
        return [Parts(self.model, Rows(rows, fed), fed.size > 1).test(batch)]


class ExactSteps(Steps):
    """Every worker is given the whole batch, computes its rows, and is given the outputs for all of them: for any loss,
    metrics and step of the user's. Its numbers are those of ``nn_train.fit``.

    Args:
        model, replicas: as for all ``Steps``.
        example: a batch ``(x, y)`` or ``(x, y, sample_weight)`` as the model sees it.

    Attributes:
        given: the specs of what steps give, by their kind and the names of the model's metrics.

    Raises:
        RequestError: what even so would depend on the number of workers; or the model's step gives no loss.
    """

    adds_up = False

    def __init__(self, model: keras.Model, replicas: Replicas, example: Nest) -> None:
        super().__init__(model, replicas)
        self.fed, self.example = alone(replicas), example
        if replicas.size > 1:
            for kind in ("train", "test"):
                check_step(model, kind, example, replicas)
        self.trace()  # makes what could not be built
        make_plain(model)
        if "loss" not in self.given["train"]:
            raise RequestError(
                f"model.name: the model's train_step gives {', '.join(self.given['train'])}, and no loss, which every "
                "row of metrics.jsonl has; let it return one of that name"
            )

    def trace(self) -> None:
        """Trace the model as it is now: graphs hold its numbers as constants."""
        self.graphs: dict[Any, Any] = {}
        self.given = {kind: self.specs(kind, self.example) for kind in ("train", "test")}

    def specs(self, kind: str, batch: Nest) -> dict[str, Any]:
        return flat(self.graph(kind, batch).get_concrete_function().structured_outputs)

    def graph(self, kind: str, example: Nest) -> Any:
        """A graph of a batch like ``example``, given as its leaves, which gives what the model's step does."""
        key = kind, len(example)  # with sample weights, and without
        if key not in self.graphs:
            name = f"{kind}_step"
            spread = self.replicas.size > 1
            step = spread_step(self.model, name, self.replicas) if spread else getattr(self.model, name)
            specs = [tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype) for leaf in tf.nest.flatten(example)]

            def on_leaves(*leaves: tf.Tensor) -> Any:
                return step(tf.nest.pack_sequence_as(example, leaves))

            self.graphs[key] = tf.function(on_leaves, input_signature=specs, autograph=False)
        return self.graphs[key]

    def run(self, kind: str, batch: Nest) -> list[Any]:
        batch = batch if batch[2] is not None else batch[:2]
        logs = flat(self.graph(kind, batch)(*tf.nest.flatten(batch)))
        return [tf.cast(logs.get("loss", 0.0), tf.float32), *(logs[name] for name in self.given[kind])]

    def train(self, batch: Nest, rows: tf.Tensor) -> list[Any]:
        return self.run("train", batch)

    def test(self, batch: Nest, rows: tf.Tensor, fed: Replicas) -> list[Any]:
        return self.run("test", batch)

    def nothing(self, kind: str) -> list[tf.Tensor]:
        return [tf.zeros(spec.shape, spec.dtype) for spec in self.given[kind].values()]

    def logs(self, last: list[Any], kind: str) -> Logs:
        return numbers_of(dict(zip(self.given[kind], last, strict=True)))

    def results(self, metrics: Logs, examples: int, loss_sum: float, last: list[Any], kind: str) -> Logs:
        """Return what Keras reports of a pass, but for a loss that no metric has counted.

        Of that Keras reports the nought with which its own metric began, by which every epoch were as good as another.
        Here it is the mean over the examples of what the steps gave.
        """
        found = self.model.get_metrics_result()
        if found.keys() != self.given[kind].keys():
            return self.logs(last, kind)
        counted = [variable for metric in self.model.metrics if metric.name == "loss" for variable in metric.variables]
        if "loss" in found and not any(np.any(variable.value) for variable in counted):
            found = {**found, "loss": loss_sum / examples}
        return numbers_of(found)
