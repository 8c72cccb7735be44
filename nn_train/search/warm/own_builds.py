"""What a function of the user's builds for a trial, and whether the graph of an earlier model computes the same.

The function may make anything of the config, so it is called for every trial, and what it has built is looked at: all
that the model holds (``facts.py``), but for the numbers that a graph can read and the values of variables. Trials of
which these agree share a graph. A model that holds what cannot be looked at shares none.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from nn_train.config import Config
from nn_train.datasets import SplitData
from nn_train.engine.preparation import build_new
from nn_train.engine.seeds import kernels_kept, seed_states, separate_seeds
from nn_train.engine.strategy import Replicas
from nn_train.search.warm.facts import NOT_KNOWN, Facts
from nn_train.search.warm.layer_numbers import numbers_of

ANY_RATE = 1.0  # stands in a description for a learning rate, which every graph reads


@dataclass(frozen=True)
class OwnBuild:
    """What a function has built.

    Attributes:
        graph: what models agree in that share one.
        numbers: of its layers, in their order.
        rate: of the optimizer that it is compiled with; None where the config says it, or a schedule does.
        weights, seeds: values of its variables, before the first step.
        own_parts: whether it has parts of the user's code, which may keep something from step to step.
        words: that stand in this code, where it runs in steps.
    """

    graph: str
    numbers: tuple[float, ...]
    rate: float | None
    weights: list[tf.Tensor]
    seeds: list[tf.Tensor]
    own_parts: bool
    words: frozenset[str]


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
    facts = Facts([*model.weights, *seed_states(model)])
    graph = description(model, facts)
    if graph is None:
        return None
    return OwnBuild(graph, found, rate, weights, seeds, facts.own_parts, frozenset(facts.words))


def own_rate(model: keras.Model) -> float | None:
    """The learning rate of a model that came compiled; it no longer tells in the model's description."""
    optimizer = model.optimizer if model.compiled else None
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if optimizer is None or not isinstance(getattr(optimizer, "_learning_rate", None), keras.Variable):
        return None
    rate = float(np.asarray(optimizer.learning_rate))
    optimizer.learning_rate = ANY_RATE
    return rate


def description(model: keras.Model, facts: Facts) -> str | None:
    """A digest of all that a model computes; None where it has parts of which that is not known."""
    if model.compiled and (model.optimizer is None or model.optimizer.built):
        return None  # its state came with it
    if any(hasattr(layer, "adapt") for layer in model._flatten_layers()):
        return None  # which keeps what it has learned from data in tensors
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return facts.digest(model)
        except NOT_KNOWN:
            return None
