"""A model that stays traced, and how it becomes what a new one is before its first step."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.config import Config
from nn_train.datasets import SplitData
from nn_train.engine.loop import Loop
from nn_train.engine.model_state import optimizers_of
from nn_train.engine.preparation import build_new, total_steps
from nn_train.engine.seeds import kernels_kept, seed_states, separate_seeds
from nn_train.engine.strategy import Replicas
from nn_train.runs.checkpoints import state_variables
from nn_train.search.warm.optimizer_numbers import has_constant_rate, plain
from nn_train.search.warm.settable import SettableHyperparameters, all_settings, users_numbers

KEPT_SEEDS = 4


@dataclass(frozen=True)
class UsersBuild:
    """What a user's function has built for a trial, which is not traced.

    Attributes:
        kind: models that share a graph agree in it.
        numbers: what can be set in the graph.
        weights, seeds: values of its variables, before the first step.
        common_seeds: where all workers draw the same.
    """

    kind: Any
    numbers: list[float]
    weights: list[tf.Tensor]
    seeds: list[tf.Tensor]
    common_seeds: list[tf.Tensor]


def users_build(config: Config, data: SplitData, replicas: Replicas) -> UsersBuild:
    """Call the function for ``config``, outside of the strategy, which need not hold its variables.

    Raises:
        RequestError: the function gives no model that fits the data.
    """
    with kernels_kept():
        model = build_new(config, data)
    weights, common_seeds = values_of(model.weights), values_of(seed_states(model))
    separate_seeds(model, replicas)
    numbers, _ = users_numbers(model, model.compiled)
    values = [number.value for number in numbers]
    return UsersBuild(kind_of(model, model.compiled), values, weights, values_of(seed_states(model)), common_seeds)


def values_of(variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    return [tf.convert_to_tensor(one.value) for one in variables]


def kind_of(model: keras.Model, compiled_by_user: bool) -> Any:
    """What two models agree in that share a graph: their variables, which numbers they have, their optimizers."""
    numbers, optimizers = users_numbers(model, compiled_by_user)
    variables = [(tuple(one.shape), one.dtype, one.trainable) for one in model.weights]
    return tuple(variables), tuple(number.kind for number in numbers), tuple(optimizers)


@dataclass
class WarmModel:
    """A traced model.

    Attributes:
        loop: trains it.
        settings: of the trial that it was traced for.
        settable: sets its numbers; None for a model that no other trial gets.
        set_variables: gives all of its variables their values in one call, which saves 1 ms a variable.
        beginnings: where its variables begin for each seed.
        build: what a user's function has built for the trial that has this model; None for presets.
        checked: settings of which it was seen that a model made anew computes the same with others; None before that.
    """

    loop: Loop
    settings: dict[str, Any]
    settable: SettableHyperparameters | None
    set_variables: Callable[[Sequence[Any]], object]
    beginnings: OrderedDict[int, list[np.ndarray]] = field(default_factory=OrderedDict)
    build: UsersBuild | None = None
    checked: set[str] | None = None

    def begin(self, config: Config, build: UsersBuild | None) -> None:
        """Be as a new model of ``config`` is before its first step."""
        self.build, model = build, self.loop.model
        if build is None:
            self.set_variables(self.beginnings[config.seed])
        else:
            of_optimizers = next(iter(self.beginnings.values()))[len(model.weights) : -len(seed_states(model))]
            seeds = build.seeds if self.loop.steps.adds_up else build.common_seeds
            self.set_variables([*build.weights, *of_optimizers, *seeds])
        self.turn(config)

    def unlike(self, config: Config) -> set[str]:
        """The settings in which ``config`` differs from that of the first trial."""
        return {name for name, value in all_settings(config).items() if self.settings[name] != value}

    @contextlib.contextmanager
    def rate_kept(self) -> Iterator[None]:
        """The learning rate is the same afterwards, also if within another trial's state was taken over."""
        optimizers = [plain(one) for one in optimizers_of(self.loop.model)]
        kept = [(one, float(np.asarray(one.learning_rate.value))) for one in optimizers if has_constant_rate(one)]
        yield
        for optimizer, rate in kept:
            optimizer.learning_rate = rate

    def turn(self, config: Config) -> None:
        """Set every number of ``config`` that was not traced."""
        if self.settable is not None:
            numbers = self.build.numbers if self.build is not None else None
            self.settable.set(config, total_steps(config.train, self.loop.data), numbers)
        self.loop.batch_size, self.loop.seed = config.train.batch_size, config.seed

    def remember(self, seed: int, model: keras.Model) -> None:
        """Keep where a new model with this seed begins."""
        self.beginnings[seed] = [np.asarray(variable.value).copy() for variable in state_variables(model)]
        if len(self.beginnings) > KEPT_SEEDS:
            self.beginnings.popitem(last=False)


def setter(variables: Sequence[Any]) -> Callable[[Sequence[Any]], object]:
    """A function that gives ``variables`` their values, traced once."""

    @tf.function(autograph=False)
    def set_all(values: Sequence[tf.Tensor]) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    return lambda values: set_all([tf.convert_to_tensor(value) for value in values])
