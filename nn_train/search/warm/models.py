"""Models that stay traced between the trials of one process.

Building a model, and tracing its training and evaluation, takes longer than an epoch of a small one. Trials
that differ in settable hyperparameters only share all three: the variables are set back to where a new model begins.
A model of the user's own that could differ in something else is only built (``own_builds.py``).
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.config import Config
from nn_train.datasets import SplitData
from nn_train.engine.batches import may_be_without_rows
from nn_train.engine.collectives import sum_over_all
from nn_train.engine.loop import Loop
from nn_train.engine.loops import loop_of
from nn_train.engine.models import DEFAULT_DROPOUT
from nn_train.engine.preparation import prepare_model, total_steps
from nn_train.engine.seeds import kernels_kept, seed_states
from nn_train.engine.strategy import Replicas
from nn_train.runs.checkpoints import state_variables
from nn_train.search.warm.own_builds import OwnBuild, own_build
from nn_train.search.warm.own_state import OwnState
from nn_train.search.warm.settable import (
    SettableHyperparameters,
    all_settings,
    layers_are_unread,
    schedule_is_unread,
    traced_settings,
)

KEPT_MODELS = 32
# TensorFlow does not give back what a graph took: 4 MB for the MLP, measured over 48 models made and forgotten.
# After so many a process is better replaced by a new one.
TRACED_AT_MOST = 128
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
            self.set_variables([*own.weights, *of_optimizers, *own.seeds])
        self.turn(config)
        if self.own_state is not None:
            self.own_state.begin()

    def turn(self, config: Config) -> None:
        """Set every number of ``config`` that was not traced."""
        self.settable.set(config, total_steps(config, self.loop.data), self.own)
        self.loop.batch_size, self.loop.seed = config.train.batch_size, config.seed


class WarmModels:
    """The most recently used models of this process. All workers of a trial must ask for the same ones in turn."""

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas
        self.models: OrderedDict[Any, WarmModel] = OrderedDict()
        self.fixed: set[Any] = set()  # what models without a number that can be set agree in
        self.last: tuple[Any, Any] = (None, None)  # settings and key of the trial before
        self.traced = 0

    def get(
        self,
        config: Config,
        data: SplitData,
        varied: Collection[str] = (),
        by_batches: bool = False,
        once: bool = False,
    ) -> WarmModel:
        """A model that is as ``prepare_model`` would make it anew, from the same arguments.

        ``once``: somebody may change more of it than its variables. No other trial has it then, and its numbers stay
        where Keras has them.

        Raises:
            RequestError: the model does not fit the data.
        """
        self.leave_changed()
        settings: tuple[Any, ...] = (*traced_settings(config), by_batches)
        own = None if once else self.own_build(config, data, settings)
        key = self.key(config, data, settings, own)
        warm = None if once else self.take(key, config)
        with kernels_kept():
            keras.utils.set_random_seed(config.seed)
        if warm is None:
            self.make_room()
            is_known = not once and (own is not None or config.model.name in DEFAULT_DROPOUT)
            warm = self.build(config, data, varied, by_batches, is_known, own)
            if is_known and not warm.settable.can_set:
                self.fixed.add(settings)
                own, key = None, self.key(config, data, settings, None)
        elif own is None and config.seed not in warm.beginnings:
            remember(warm, config.seed, prepare_model(config, data, self.replicas, by_batches=by_batches).model)
        # Else a trial may leave in it what nobody knows of.
        if not once and (own is not None or config.model.name in DEFAULT_DROPOUT):
            self.models[key] = warm
        self.last = settings, key
        warm.begin(config, own)
        return warm

    def leave_changed(self) -> None:
        """Forget the model of the trial before, if that may have left anything in it."""
        settings, key = self.last
        before = self.models.get(key)
        if before is not None and before.own_state is not None and before.own_state.has_changed():
            self.fixed.add(settings)
            del self.models[key]

    def take(self, key: Any, config: Config) -> WarmModel | None:
        """The model that is traced already, where all workers have it. Collective for models of the user's."""
        warm = self.models.pop(key, None)
        if config.model.name in DEFAULT_DROPOUT:
            return warm
        return warm if sum_over_all([float(warm is not None)], self.replicas) == [self.replicas.size] else None

    def own_build(self, config: Config, data: SplitData, settings: Any) -> OwnBuild | None:
        """What the user's function makes of ``config``; None where it has no graph that others could share."""
        if config.model.name in DEFAULT_DROPOUT or data.is_stream or settings in self.fixed:
            return None
        build = own_build(config, data, self.replicas)
        if build is None or not schedule_is_unread(config, build):
            self.fixed.add(settings)  # its next model would be built in vain, which can take long
            return None
        return build

    def key(self, config: Config, data: SplitData, settings: Any, own: OwnBuild | None) -> Any:
        """What models agree in that share a graph."""
        if own is not None:
            settings = (*settings, own.graph, () if layers_are_unread(own) else own.numbers)
        elif config.model.name not in DEFAULT_DROPOUT or settings in self.fixed:
            settings = (*all_settings(config), settings[-1])
        return settings, may_be_without_rows(data, config.train.batch_size, self.replicas)

    def build(
        self,
        config: Config,
        data: SplitData,
        varied: Collection[str],
        by_batches: bool,
        is_known: bool,
        own: OwnBuild | None,
    ) -> WarmModel:
        """A new model with its loop."""
        self.traced += 1
        prepared = prepare_model(config, data, self.replicas, varied, by_batches)
        loop = loop_of(prepared, config, data, self.replicas)
        variables, settable = state_variables(loop.model), SettableHyperparameters(prepared, is_known, own)
        warm = WarmModel(loop=loop, settable=settable, set_variables=setter(variables))
        if own is not None and own.own_parts and settable.can_set:
            warm.own_state = OwnState(loop.model, [*variables, *settable.variables()], settable.numbers)
        remember(warm, config.seed, loop.model)
        return warm

    def forget(self) -> None:
        """Hold no model, and so none of the examples they were made for."""
        self.models.clear()
        gc.collect()  # graphs and models refer to each other

    def make_room(self) -> None:
        """Forget the model that was not used for the longest time."""
        if len(self.models) >= KEPT_MODELS:
            self.models.popitem(last=False)
            gc.collect()  # graphs and models refer to each other


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
