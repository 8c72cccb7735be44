"""What a function of the user's builds for a trial, and whether the graph of an earlier model computes the same.

The function may make anything of the config, so it is called for every trial, and what it has built is looked at: all
that the model holds (``facts.py``), but for the numbers that a graph can read and the values of variables. Trials of
which these agree share a graph. A model that holds what cannot be looked at shares none.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.config import Config
from nn_train.datasets import SplitData
from nn_train.engine.model_state import optimizers_of
from nn_train.engine.preparation import build_new
from nn_train.engine.seeds import kernels_kept, seed_states, separate_seeds
from nn_train.engine.strategy import Replicas
from nn_train.search.warm.facts import Facts
from nn_train.search.warm.known_parts import NOT_KNOWN, is_keras
from nn_train.search.warm.layer_numbers import numbers_of
from nn_train.search.warm.schedule_numbers import attributes_of, numbers_of_schedule, put

ANY_RATE = 1.0  # stands in a description for a learning rate, which every graph reads


@dataclass(frozen=True)
class OwnBuild:
    """What a function has built.

    Attributes:
        graph: what models agree in that share one; None for a model that must not share.
        numbers: of its layers, in their order.
        constant: which of these code of the user's may read, so that they stay constants of a graph.
        rate: of the optimizer that it is compiled with; None where the config says it, or a schedule does.
        schedule: numbers of the schedule that it is compiled with.
        further_rates: of ``further_optimizers``.
        weights, seeds: values of its variables, before the first step.
        common_seeds: where all workers draw the same.
        own_parts: whether it has parts of the user's code, which may keep something from step to step.
        words: that stand in this code, where it runs in steps.
        arguments: what its attributes are that only say what parts of it were made with.
    """

    graph: str | None
    numbers: tuple[float, ...]
    constant: tuple[bool, ...]
    rate: float | None
    schedule: dict[str, float]
    further_rates: tuple[float, ...]
    weights: list[tf.Tensor]
    seeds: list[tf.Tensor]
    common_seeds: list[tf.Tensor]
    own_parts: bool
    words: frozenset[str]
    arguments: tuple[Any, ...]

    def numbers_of(self, constant: bool) -> list[float]:
        """Those that are constants of a graph, or those that can be set."""
        return [
            number for number, is_constant in zip(self.numbers, self.constant, strict=True) if is_constant == constant
        ]


Look = tuple[OwnBuild, list[Any]]  # and what each model must have for itself


def own_build(config: Config, data: SplitData, replicas: Replicas) -> Look:
    """What the function makes of ``config``, only to be looked at, and its ``single_parts``.

    Raises:
        RequestError: the function gives no model that fits the data.
    """
    with kernels_kept() as drawn:
        model = build_new(config, data)  # outside of the strategy, which need not hold its variables
    weights, common_seeds = values_of(model.weights), values_of(seed_states(model))
    separate_seeds(model, replicas)
    seeds = values_of(seed_states(model))
    numbers = numbers_of(model)
    found = tuple(number.value for number in numbers)
    further = [one._learning_rate for one in further_optimizers(model)]
    facts = Facts([*model.weights, *seed_states(model), *further])
    with hidden_rate(model) as (rate, schedule):
        for number in numbers:
            number.hide()
        graph = None if drawn else description(model, facts)
        for number in numbers:
            number.show()  # the function may give it to the next model too
    arguments = tuple(value for *_, value in facts.arguments)
    beginnings, words = (weights, seeds, common_seeds), facts.words.all()
    constant = tuple(number.is_read(words) for number in numbers)
    rates = tuple(float(one.value) for one in further)
    build = OwnBuild(graph, found, constant, rate, schedule, rates, *beginnings, facts.own_parts, words, arguments)
    return build, single_parts(model)


def values_of(variables: Iterable[keras.Variable]) -> list[tf.Tensor]:
    return [tf.convert_to_tensor(one.value) for one in variables]


def single_parts(model: keras.Model) -> list[Any]:
    """What each model must have for itself, if one is not to change with another."""
    optimizer = model.optimizer if model.compiled else None
    rate = getattr(getattr(optimizer, "inner_optimizer", optimizer), "_learning_rate", None)
    of_optimizer = [one for one in (optimizer, rate, *further_optimizers(model)) if one is not None]
    return [*model.variables, *of_optimizer, *(one.owner for one in numbers_of(model))]


def further_optimizers(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Those in attributes of a model, for steps of its own, of which every graph reads the learning rate."""
    others = [one for one in optimizers_of(model) if one is not model.optimizer]
    return [one for one in others if isinstance(getattr(one, "_learning_rate", None), keras.Variable)]


@contextlib.contextmanager
def hidden_rate(model: keras.Model) -> Iterator[tuple[float | None, dict[str, float]]]:
    """The learning rate of a model that came compiled, and the numbers of its schedule; within, they do not tell in
    the model's description."""
    optimizer = model.optimizer if model.compiled else None
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    given = getattr(optimizer, "_learning_rate", None)
    if isinstance(given, keras.Variable):
        rate = np.asarray(given.value).copy()
        given.assign(ANY_RATE)
        yield float(rate), {}
        given.assign(rate)
        return
    schedule = numbers_of_schedule(optimizer)
    kept = {name: getattr(given, name) for name in attributes_of(schedule)}
    put(given, dict.fromkeys(schedule, ANY_RATE))
    yield None, schedule
    for name, value in kept.items():
        setattr(given, name, value)


def description(model: keras.Model, facts: Facts) -> str | None:
    """A digest of all that a model computes; None where it has parts of which that is not known."""
    if model.compiled and (model.optimizer is None or builds_its_own_way(model.optimizer)):
        return None  # its state begins where nobody knows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return facts.digest(model)
        except NOT_KNOWN:
            return None


def facts_of(model: keras.Model) -> Facts:
    """What is known of a model."""
    facts = Facts()
    with contextlib.suppress(*NOT_KNOWN):
        facts.digest(model)
    return facts


def builds_its_own_way(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether code of the user's makes the state of an optimizer."""
    return not is_keras(type(optimizer).build.__module__)
