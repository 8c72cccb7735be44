"""What a function of the user's builds for a trial, and whether the graph of an earlier model computes the same.

The function may make anything of the config, so it is called for every trial, and what it has built is looked at: the
description that Keras gives of the model (``get_config``), and every attribute of what the model is made of, but for
the numbers that a graph can read and the values of variables. Trials of which these agree share a graph. A model with
anything in it that is not Keras' own shares none.
"""

from __future__ import annotations

import hashlib
import json
import types
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.config import Config
from nn_train.datasets import SplitData
from nn_train.engine.preparation import build_new
from nn_train.engine.seeds import kernels_kept, seed_states, separate_seeds
from nn_train.engine.strategy import Replicas
from nn_train.search.layer_numbers import numbers_of

ANY_RATE = 1.0  # stands in a description for a learning rate, which every graph reads
# What differs from model to model, or is told by the description: connections, and who keeps track of what.
SKIPPED = {"_tracker", "_inbound_nodes", "_outbound_nodes", "_parent_path", "_lock", "_nodes", "_nodes_by_depth"}
SKIPPED |= {"_operations_by_depth", "_call_signature", "_auto_config", "_initializer", "_distribution_strategy"}
SKIPPED |= {"_initial_seed"}
PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), slice, range, np.generic, np.dtype)


@dataclass(frozen=True)
class OwnBuild:
    """What a function has built.

    Attributes:
        graph: what models agree in that share one.
        numbers: of its layers, in their order.
        rate: of the optimizer that it is compiled with; None where the config says it, or a schedule does.
        weights, seeds: values of its variables, before the first step.
    """

    graph: str
    numbers: tuple[float, ...]
    rate: float | None
    weights: list[tf.Tensor]
    seeds: list[tf.Tensor]


def own_build(config: Config, data: SplitData, replicas: Replicas) -> OwnBuild | None:
    """The model of ``config``, only to be looked at; None for one that must not share a graph.

    Raises:
        RequestError: the function gives no model that fits the data.
    """
    with kernels_kept() as drawn:
        model, _ = build_new(config, data)  # outside of the strategy, which need not hold its variables
    if drawn:
        return None
    separate_seeds(model, replicas)
    weights, seeds = (
        [tf.convert_to_tensor(one.value) for one in variables] for variables in (model.weights, seed_states(model))
    )
    numbers = numbers_of(model)
    found = tuple(number.value for number in numbers)
    rate = own_rate(model)
    for number in numbers:
        number.hide()
    graph = description(model)
    return None if graph is None else OwnBuild(graph, found, rate, weights, seeds)


def own_rate(model: keras.Model) -> float | None:
    """The learning rate of a model that came compiled; it no longer tells in the model's description."""
    optimizer = model.optimizer if model.compiled else None
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if optimizer is None or not isinstance(getattr(optimizer, "_learning_rate", None), keras.Variable):
        return None
    rate = float(np.asarray(optimizer.learning_rate))
    optimizer.learning_rate = ANY_RATE
    return rate


class UnknownPartError(Exception):
    """A part of a model of which it cannot be said what it does."""


def description(model: keras.Model) -> str | None:
    """A digest of all that a model computes; None where it has parts that are not Keras'."""
    if model.compiled and (model.optimizer is None or model.optimizer.built):
        return None  # its state came with it
    if any(hasattr(layer, "adapt") for layer in model._flatten_layers()):
        return None  # which keeps what it has learned from data in tensors
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what cannot be serialized
        try:
            content = keras.saving.serialize_keras_object(model)
            parts = [content, facts(model, {})]
            return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        except (UnknownPartError, TypeError, ValueError, NotImplementedError, AttributeError, RecursionError):
            return None


def facts(one: Any, seen: dict[int, int]) -> Any:
    """Everything that ``one`` holds, in plain values. What was met before is told by its number, so that it is known
    who shares what.

    Raises:
        UnknownPartError: something that is not Keras', and no plain value.
    """
    if isinstance(one, PLAIN):
        return [type(one).__name__, repr(one)]
    if isinstance(one, type):
        return [require_keras(one.__module__), one.__qualname__]
    if isinstance(one, keras.initializers.Initializer):
        return ["initializer"]  # the values that it has given are set anew
    if isinstance(one, keras.KerasTensor):
        return ["tensor", str(one.shape), str(one.dtype)]
    if id(one) in seen:
        return ["seen", seen[id(one)]]
    seen[id(one)] = len(seen)
    if isinstance(one, Mapping):
        return ["mapping", [[facts(key, seen), facts(value, seen)] for key, value in one.items()]]
    if isinstance(one, list | tuple | set | frozenset):
        items = sorted(one, key=repr) if isinstance(one, set | frozenset) else one
        return [type(one).__name__, [facts(item, seen) for item in items]]
    if isinstance(one, types.MethodType):
        return ["method", facts(one.__func__, seen), facts(one.__self__, seen)]
    if isinstance(one, types.FunctionType | types.BuiltinFunctionType):
        return [require_keras(str(one.__module__)), one.__qualname__]
    if isinstance(one, types.ModuleType):
        return ["module", require_keras(one.__name__)]
    if isinstance(one, np.ndarray | tf.Tensor) and not isinstance(one, keras.Variable):
        one = np.asarray(one)
        return ["array", str(one.dtype), str(one.shape), hashlib.sha256(one.tobytes()).hexdigest()]
    kind = type(one)
    require_keras(kind.__module__)
    held = vars(one) if hasattr(one, "__dict__") else {}
    if isinstance(one, keras.Variable):
        held = {name: held.get(name) for name in ("_shape", "_dtype", "_trainable", "_regularizer", "_constraint")}
        held |= {"_aggregation": one.aggregation, "_autocast": held.get("_autocast")}
    shown = [[name, facts(value, seen)] for name, value in sorted(held.items()) if not is_skipped(name)]
    return [kind.__module__, kind.__qualname__, shown]


def is_skipped(attribute: str) -> bool:
    return attribute in SKIPPED or attribute.startswith("_self_")  # TensorFlow's, for its checkpoints


def require_keras(module: str) -> str:
    """The name of a module of Keras'. UnknownPartError for another: what is there could do anything."""
    if module.partition(".")[0] != "keras":
        raise UnknownPartError(module)
    return module
