"""Models that stay traced between the trials of one process.

Building a model, and tracing its training and evaluation, takes longer than an epoch of a small one. Trials
that differ in settable hyperparameters only share all three: the variables are set back to where a new model begins.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from nn_train.config import Config
from nn_train.datasets import SplitData
from nn_train.engine.batches import may_be_without_rows
from nn_train.engine.loop import Loop
from nn_train.engine.loops import loop_of
from nn_train.engine.preparation import prepare_model, total_steps
from nn_train.engine.strategy import Replicas
from nn_train.runs.checkpoints import assign, state_variables
from nn_train.search.settable import SettableHyperparameters, all_settings, has_settable, traced_settings

KEPT_MODELS = 32
# TensorFlow does not give back what a graph took: 4 MB for the MLP, measured over 48 models made and forgotten.
# After so many a process is better replaced by a new one.
TRACED_AT_MOST = 128
KEPT_SEEDS = 4


@dataclass
class WarmModel:
    """A traced model, and where its variables begin for each seed."""

    loop: Loop
    settable: SettableHyperparameters
    beginnings: OrderedDict[int, list[np.ndarray]] = field(default_factory=OrderedDict)

    def turn(self, config: Config) -> None:
        """Set every number of ``config`` that was not traced."""
        self.settable.set(config, total_steps(config, self.loop.data))
        self.loop.batch_size, self.loop.seed = config.train.batch_size, config.seed


class WarmModels:
    """The most recently used models of this process. All workers of a trial must ask for the same ones in turn."""

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas
        self.models: OrderedDict[Any, WarmModel] = OrderedDict()
        self.fixed: set[Any] = set()  # what models without a number that can be set agree in
        self.traced = 0

    def get(self, config: Config, data: SplitData, varied: Collection[str] = (), by_batches: bool = False) -> WarmModel:
        """A model that is as ``prepare_model`` would make it anew, from the same arguments.

        Raises:
            RequestError: the model does not fit the data.
        """
        keras.utils.set_random_seed(config.seed)
        key = self.key(config, data, by_batches)
        warm = self.models.pop(key, None)
        if warm is None:
            self.make_room()
            warm = self.build(config, data, varied, by_batches)
            key = self.key(config, data, by_batches)  # of which more is known by now
        elif config.seed not in warm.beginnings:
            remember(warm, config.seed, prepare_model(config, data, self.replicas, by_batches=by_batches).model)
        self.models[key] = warm
        assign(state_variables(warm.loop.model), warm.beginnings[config.seed])
        warm.turn(config)
        return warm

    def key(self, config: Config, data: SplitData, by_batches: bool) -> Any:
        """What models agree in that share a graph."""
        settings: tuple[Any, ...] = (*traced_settings(config), by_batches)
        if settings in self.fixed:
            settings = (*all_settings(config), by_batches)
        return settings, may_be_without_rows(data, config.train.batch_size, self.replicas)

    def build(self, config: Config, data: SplitData, varied: Collection[str], by_batches: bool) -> WarmModel:
        """A new model with its loop."""
        self.traced += 1
        prepared = prepare_model(config, data, self.replicas, varied, by_batches)
        loop = loop_of(prepared, config, data, self.replicas)
        if not has_settable(prepared, config):
            self.fixed.add((*traced_settings(config), by_batches))
        warm = WarmModel(loop=loop, settable=SettableHyperparameters(prepared, config))
        remember(warm, config.seed, loop.model)
        return warm

    def make_room(self) -> None:
        """Forget the model that was not used for the longest time."""
        if len(self.models) >= KEPT_MODELS:
            self.models.popitem(last=False)
            gc.collect()  # graphs and models refer to each other


def remember(warm: WarmModel, seed: int, model: keras.Model) -> None:
    """Keep where a new model with this seed begins."""
    warm.beginnings[seed] = [np.asarray(variable.value).copy() for variable in state_variables(model)]
    if len(warm.beginnings) > KEPT_SEEDS:
        warm.beginnings.popitem(last=False)
