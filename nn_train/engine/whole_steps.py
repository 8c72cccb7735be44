"""Steps of a model whose parts do not add up: Keras' own, or the model's, with what ``nn_train.fit`` lets them see.

``ReplicaSteps`` adds up what each worker computes of its rows, within one graph for many steps. Here every worker is
given the whole batch, of which it computes its rows, and the outputs for all of them; a graph call a batch.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.fit.own_scope import make_plain
from nn_train.engine.fit.steps import is_overridden, spread_step
from nn_train.engine.metric_state import Logs, flat, numbers_of
from nn_train.engine.model_state import optimizers_of
from nn_train.engine.probe import check_step
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError

OWN = ("train_step", "test_step", "compute_metrics")


def trains_its_own_way(model: keras.Model) -> bool:
    """Whether a compiled model does, on any number of workers, what ``ReplicaSteps`` would leave out."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    more = getattr(optimizer, "use_ema", False) or getattr(optimizer, "gradient_accumulation_steps", None)
    several_losses = bool(getattr(model._compile_loss, "metrics", ())) or len(optimizers_of(model)) > 1
    return bool(more) or several_losses or any(is_overridden(model, name) for name in OWN)


class WholeSteps:
    """The training and the evaluation step of a model, from whole batches, which are the same on all workers.

    Args:
        model: built and compiled. Its variables become plain ones, and all that it needs are made.
        replicas: this process's place.
        example: a batch ``(x, y)`` or ``(x, y, sample_weight)`` as the model sees it.
        by_batches: whether somebody is told of each batch.

    Attributes:
        given: the specs of what a training step gives, by the names of the model's metrics.

    Raises:
        RequestError: what even so would depend on the number of workers; or the model's step gives no loss.
    """

    def __init__(self, model: keras.Model, replicas: Replicas, example: Nest, by_batches: bool) -> None:
        make_plain(model)
        self.model, self.replicas, self.example, self.by_batches = model, replicas, example, by_batches
        if replicas.size > 1:
            for kind in ("train", "test"):
                check_step(model, kind, example, replicas)
        self.trace()  # makes what could not be built
        make_plain(model)
        if "loss" not in self.given:
            raise RequestError(
                f"model.name: the model's train_step gives {', '.join(self.given)}, and no loss, which every row of "
                "metrics.jsonl has; let it return one of that name"
            )

    def trace(self) -> None:
        """Trace the model as it is now."""
        self.train_graph = self.graph("train_step", self.example)
        self.test_graphs: dict[int, Any] = {}  # with sample weights, and without
        self.given: dict[str, Any] = flat(self.train_graph.get_concrete_function().structured_outputs)

    def graph(self, name: str, example: Nest) -> Any:
        """A graph of a batch like ``example``, given as its leaves, which gives what ``model.train_step`` does."""
        step = getattr(self.model, name) if self.replicas.size == 1 else spread_step(self.model, name, self.replicas)
        specs = [tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype) for leaf in tf.nest.flatten(example)]

        def on_leaves(*leaves: tf.Tensor) -> Any:
            return step(tf.nest.pack_sequence_as(example, leaves))

        return tf.function(on_leaves, input_signature=specs, autograph=False)

    def train(self, batch: Nest) -> dict[str, Any]:
        """Update the weights from one batch. Returns the results so far, by the names of the model's metrics."""
        return flat(self.train_graph(*tf.nest.flatten(batch)))

    def evaluate(self, batch: Nest) -> dict[str, Any]:
        """Update the metrics from one batch. Returns the same."""
        if len(batch) not in self.test_graphs:
            self.test_graphs[len(batch)] = self.graph("test_step", batch)
        return flat(self.test_graphs[len(batch)](*tf.nest.flatten(batch)))

    def results(self, logs: dict[str, Any], examples: int, loss_sum: float) -> Logs:
        """What Keras reports of a pass whose last step gave ``logs``, but for a loss that no metric has counted.

        Of that Keras reports the nought with which its own metric began, by which every epoch were as good as another.
        Here it is the mean over the examples of what the steps gave.
        """
        found = self.model.get_metrics_result()
        if found.keys() != logs.keys():
            return numbers_of(logs)
        counted = [variable for metric in self.model.metrics if metric.name == "loss" for variable in metric.variables]
        if "loss" in found and not any(np.any(variable.value) for variable in counted):
            found = {**found, "loss": loss_sum / examples}
        return numbers_of(found)
