"""What a function of the user's builds for a trial, and whether the graph of an earlier model computes the same.

What the function reads of the config is noted. A later config that agrees in all of it would build the same model, and
the function is not asked again. For another config it is: the description that Keras gives of its model
(``get_config``), but for the numbers that a graph can read, says whether an earlier graph will do. A model with parts
that such a description does not tell whole, as layers of the user's own, shares its graph only with those whose
functions read the same.
"""

from __future__ import annotations

import json
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.config import Config
from nn_train.datasets import SplitData
from nn_train.engine.preparation import build_new
from nn_train.engine.seeds import seed_states, separate_seeds
from nn_train.engine.strategy import Replicas
from nn_train.search.layer_numbers import numbers_of

KEPT_BUILDS = 64
ANY_RATE = 1.0  # stands in a description for a learning rate, which every graph reads


@dataclass(frozen=True)
class OwnBuild:
    """What a function has built.

    Attributes:
        read: the fields that it has read, with their values.
        graph: what models agree in that share one; None for a model that must not share.
        numbers: of its layers, in their order.
        rate: of the optimizer that it is compiled with; None where the config says it, or a schedule does.
        weights, seeds: values of its variables, before the first step.
    """

    read: Mapping[str, Any]
    graph: Any
    numbers: tuple[float, ...]
    rate: float | None
    weights: list[np.ndarray]
    seeds: list[np.ndarray]


class OwnBuilds:
    """The last models that functions of the user's have built in this process."""

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas
        self.kept: OrderedDict[Any, OwnBuild] = OrderedDict()

    def get(self, config: Config, data: SplitData, settings: Any) -> OwnBuild:
        """The model of ``config``, built by its function unless it has built the same before.

        Args:
            settings: what else a graph depends on.

        Raises:
            RequestError: the function gives no model that fits the data.
        """
        for key, build in reversed(self.kept.items()):
            if key[:2] == (settings, config.seed) and build.read == values_in(config, build.read):
                self.kept.move_to_end(key)
                return build
        build = self.build(config, data)
        self.kept[settings, config.seed, tuple(build.read.items())] = build
        if len(self.kept) > KEPT_BUILDS:
            self.kept.popitem(last=False)
        return build

    def build(self, config: Config, data: SplitData) -> OwnBuild:
        """A model that is only looked at, so that no strategy need hold its variables."""
        model, read = build_new(config, data)
        separate_seeds(model, self.replicas)
        values = values_in(config, dict.fromkeys(sorted(read)))
        weights, seeds = (
            [np.asarray(one.value).copy() for one in variables] for variables in (model.weights, seed_states(model))
        )
        numbers = numbers_of(model)
        found = tuple(number.value for number in numbers)
        rate = own_rate(model)
        for number in numbers:
            number.hide()
        described = description(model)
        graph: Any = described
        if described is None:
            graph = None if keeps_its_own(model) else (tuple(values.items()), config.seed)
        return OwnBuild(values, graph, found, rate, weights, seeds)


def values_in(config: Config, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The values of these fields."""
    paths = [path.partition(".") for path in fields]
    return {f"{section}.{name}": getattr(getattr(config, section), name) for section, _, name in paths}


def own_rate(model: keras.Model) -> float | None:
    """The learning rate of a model that came compiled; it no longer tells in the model's description."""
    optimizer = model.optimizer if model.compiled else None
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if optimizer is None or not isinstance(getattr(optimizer, "_learning_rate", None), keras.Variable):
        return None
    rate = float(np.asarray(optimizer.learning_rate))
    optimizer.learning_rate = ANY_RATE
    return rate


def description(model: keras.Model) -> str | None:
    """All that a model computes; None where Keras cannot tell all of it."""
    if not all(map(is_keras_own, model._flatten_layers())):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what cannot be serialized
        try:
            content = keras.saving.serialize_keras_object(model)
            return json.dumps(content, sort_keys=True) if tells_all(content) else None
        except (TypeError, ValueError, NotImplementedError, AttributeError):
            return None


def is_keras_own(layer: keras.layers.Layer) -> bool:
    """Whether a layer is one of Keras', as it comes: none that learns from data what its description does not say."""
    is_changed = "call" in vars(layer) or "train_step" in vars(layer)
    return type(layer).__module__.startswith("keras.") and not hasattr(layer, "adapt") and not is_changed


def tells_all(content: Any) -> bool:
    """Whether every object that is described is one of Keras', or a plain value such as a tensor."""
    if isinstance(content, Mapping):
        name = str(content.get("class_name", "__plain__"))
        is_value = name.startswith("__") and name != "__lambda__"
        is_ours = is_value or (str(content.get("module")).startswith("keras") and name != "Lambda")
        return is_ours and all(map(tells_all, content.values()))
    return all(map(tells_all, content)) if isinstance(content, list | tuple) else not callable(content)


def keeps_its_own(model: keras.Model) -> bool:
    """Whether a layer holds variables of TensorFlow's own: a step can change them, and nothing sets them back."""
    kinds = (tf.Variable, tf.random.Generator, tf.lookup.experimental.MutableHashTable)
    held = [one for layer in model._flatten_layers() if not is_keras_own(layer) for one in vars(layer).values()]
    within = [one for several in held if isinstance(several, list | tuple) for one in several]
    return any(isinstance(one, kinds) for one in (*held, *within))
