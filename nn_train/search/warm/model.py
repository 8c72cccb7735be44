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
from nn_train.engine.loop import Loop
from nn_train.engine.preparation import total_steps
from nn_train.engine.seeds import seed_states
from nn_train.engine.whole_loop import WholeLoop
from nn_train.runs.checkpoints import state_variables
from nn_train.search.warm.own_builds import OwnBuild
from nn_train.search.warm.own_state import OwnState
from nn_train.search.warm.settable import SettableHyperparameters

KEPT_SEEDS = 4


@dataclass
class WarmModel:
    """A traced model.

    Attributes:
        set_variables: gives all of its variables their values in one call, which saves 1 ms a variable.
        beginnings: where its variables begin for each seed.
        own: what a function of the user's has built for the trial that has this model; None for built-in models, and
            for one whose numbers cannot be set.
        own_state: what code of the user's in it may keep, where there is such.
    """

    loop: Loop
    settable: SettableHyperparameters
    set_variables: Callable[[Sequence[Any]], object]
    beginnings: OrderedDict[int, list[np.ndarray]] = field(default_factory=OrderedDict)
    own: OwnBuild | None = None
    own_state: OwnState | None = None

    def begin(self, config: Config, own: OwnBuild | None) -> None:
        """Be as a new model of ``config`` is before its first step."""
        self.own, model = own, self.loop.model
        if own is None:
            self.set_variables(self.beginnings[config.seed])
        else:
            of_optimizers = next(iter(self.beginnings.values()))[len(model.weights) : -len(seed_states(model))]
            seeds = own.common_seeds if isinstance(self.loop, WholeLoop) else own.seeds
            self.set_variables([*own.weights, *of_optimizers, *seeds])
        self.turn(config)
        if self.own_state is not None and own is not None:
            self.own_state.begin(own.arguments)

    @contextlib.contextmanager
    def rate_kept(self) -> Iterator[None]:
        """The learning rate is the same afterwards, also if within another trial's state was taken over."""
        rates = [getattr(one, "_learning_rate", None) for one in (self.settable.optimizer, *self.settable.further)]
        kept = [(rate, np.asarray(rate.value).copy()) for rate in rates if isinstance(rate, keras.Variable)]
        yield
        for rate, value in kept:
            rate.assign(value)

    def turn(self, config: Config) -> None:
        """Set every number of ``config`` that was not traced."""
        self.settable.set(config, total_steps(config, self.loop.data), self.own)
        self.loop.batch_size, self.loop.seed = config.train.batch_size, config.seed


def setter(variables: Sequence[Any]) -> Callable[[Sequence[Any]], object]:
    """A function that gives ``variables`` their values, traced once."""

    @tf.function(autograph=False)
    def set_all(values: Sequence[tf.Tensor]) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    return lambda values: set_all([tf.convert_to_tensor(value) for value in values])


def remember(warm: WarmModel, seed: int, model: keras.Model) -> None:
    """Keep where a new model with this seed begins."""
    warm.beginnings[seed] = [np.asarray(variable.value).copy() for variable in state_variables(model)]
    if len(warm.beginnings) > KEPT_SEEDS:
        warm.beginnings.popitem(last=False)
