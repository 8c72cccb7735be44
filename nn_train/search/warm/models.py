"""Models that stay traced between the trials of one process.

Building a model, and tracing its training and evaluation, takes longer than an epoch of a small one. Trials
that differ in settable hyperparameters only share all three: the variables are set back to where a new model begins.
A model of the user's own that could differ in something else is only built (``own_builds.py``).
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

import keras
import numpy as np

from nn_train.config import Config
from nn_train.datasets import SplitData
from nn_train.engine.batches import may_be_without_rows
from nn_train.engine.collectives import sum_over_all
from nn_train.engine.loops import loop_of
from nn_train.engine.models import DEFAULT_DROPOUT
from nn_train.engine.preparation import PreparedModel, prepare_model
from nn_train.engine.seeds import kernels_kept, seed_states
from nn_train.engine.strategy import Replicas
from nn_train.runs.checkpoints import state_variables
from nn_train.search.warm.functions import State, random_states_kept, state_of
from nn_train.search.warm.layer_numbers import numbers_of
from nn_train.search.warm.model import WarmModel, remember, setter
from nn_train.search.warm.own_builds import Look, OwnBuild, facts_of, own_build, single_parts
from nn_train.search.warm.own_state import OwnState, traced_functions
from nn_train.search.warm.retracing import computes_the_same_again, is_in_graphs, trace_again
from nn_train.search.warm.settable import (
    SettableHyperparameters,
    all_settings,
    has_schedule,
    schedule_is_unread,
    traced_settings,
)

KEPT_MODELS = 32
# TensorFlow does not give back what a graph took: 4 MB for the MLP, measured over 48 models made and forgotten.
# After so many a process is better replaced by a new one.
TRACED_AT_MOST = 128


class WarmModels:
    """The most recently used models of this process. All workers of a trial must ask for the same ones in turn."""

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas
        self.models: OrderedDict[Any, WarmModel] = OrderedDict()
        self.fixed: set[Any] = set()  # what models of the user's agree in that share nothing
        self.constant: set[Any] = set()  # the same of those that share a learning rate without schedule at most
        self.last: tuple[Any, Any] = (None, None)  # settings and key of the trial before
        self.functions: dict[str, State] = {}  # of the user's, that were called here, before the first call
        self.must_end = False  # whether a new process is needed for a model like that of a new process
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
        is_preset = config.model.name in DEFAULT_DROPOUT
        may_share = not once and (is_preset or not (data.is_stream or settings in self.fixed))
        look = self.look(config, data) if may_share and config.model.name in self.functions else None
        own = self.own_of(look, None, config, settings)
        warm = None
        if may_share and (is_preset or own is not None):
            warm = self.take(self.key(config, data, settings, own), config)
        with kernels_kept():
            keras.utils.set_random_seed(config.seed)
        if warm is None:
            self.make_room()
            warm, own = self.build(config, data, settings, varied, may_share, look)
        elif own is None and config.seed not in warm.beginnings:
            remember(warm, config.seed, prepare_model(config, data, self.replicas, by_batches=by_batches).model)
        self.last = settings, self.key(config, data, settings, own)
        if not once and (own is not None or is_preset):  # else a trial may leave in it what nobody knows of
            self.models[self.last[1]] = warm
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

    def look(self, config: Config, data: SplitData) -> Look:
        """What the user's function makes of ``config``. Where it goes on from there, ``must_end`` is set."""
        look = own_build(config, data, self.replicas)
        self.note_state(str(config.model.name))
        return look

    def note_state(self, name: str) -> None:
        """After a call of the user's function ``name``."""
        now = state_of("model.name", name)
        if self.functions[name].must_end(now):
            self.must_end = True
            now.forget_traces()

    def second_look(self, config: Config, data: SplitData) -> Look | None:
        """The same after its first model in this process, which is that of a new one.

        None where only a new process gives such a model again.
        """
        try:
            with random_states_kept():
                look = self.look(config, data)
        except Exception:
            self.must_end = True
        return None if self.must_end else look

    def own_of(
        self, look: Look | None, prepared: PreparedModel | None, config: Config, settings: Any
    ) -> OwnBuild | None:
        """What was built, where others can share its graph. ``prepared``: of the model that is to be shared."""
        if look is None:
            return None
        build, parts = look
        turns = settings not in self.constant and schedule_is_unread(build)
        can_share = build.graph is not None and (turns or not has_schedule(config))
        if prepared is not None:
            common = {id(one) for one in parts} & {id(one) for one in single_parts(prepared.model)}
            self.must_end |= any(id(one) in common for one in prepared.model.variables)
            has_drawn = prepared.whole is not None and prepared.whole.has_drawn
            can_share = can_share and not common and not has_drawn and begins_alike(prepared.model, build)
        if not can_share:
            self.fixed.add(settings)  # its next model would be built in vain, which can take long
        return build if can_share else None

    def key(self, config: Config, data: SplitData, settings: Any, own: OwnBuild | None) -> Any:
        """What models agree in that share a graph."""
        if own is not None:
            turns = settings not in self.constant
            of_layers = own.numbers_of(constant=True) if turns else own.numbers
            of_schedule = () if turns and schedule_is_unread(own) else own.schedule.values()
            settings = (*settings, own.graph, tuple(of_layers), tuple(of_schedule))
        elif config.model.name not in DEFAULT_DROPOUT:
            settings = (*all_settings(config), settings[-1])
        size = config.train.batch_size  # of few rows it is not tried whether they add up
        return settings, may_be_without_rows(data, size, self.replicas)

    def build(
        self,
        config: Config,
        data: SplitData,
        settings: Any,
        varied: Collection[str],
        may_share: bool,
        look: Look | None,
    ) -> tuple[WarmModel, OwnBuild | None]:
        """A new model with its loop, and what it shares with others of the user's function."""
        self.traced += 1
        is_preset, name = config.model.name in DEFAULT_DROPOUT, str(config.model.name)
        is_first = not is_preset and name not in self.functions
        if is_first:
            self.functions[name] = state_of("model.name", name)
        traced = traced_functions()
        prepared = prepare_model(config, data, self.replicas, by_batches=settings[-1])
        if is_first and not data.is_stream:
            look = self.second_look(config, data)
            if look is None:
                self.fixed.add(settings)
        elif not is_preset:
            self.note_state(name)
        own = self.own_of(look, prepared, config, settings)
        own = own if may_share and not self.must_end else None
        turns, in_graphs = settings not in self.constant, is_in_graphs(prepared, own)
        if own is not None and turns and in_graphs and not computes_the_same_again(prepared, data):
            self.constant.add(settings)
            return self.build(config, data, settings, varied, may_share, look)
        loop = loop_of(prepared, config, data, self.replicas)
        is_known = may_share and (is_preset or own is not None)
        variables, settable = state_variables(loop.model), SettableHyperparameters(prepared, is_known, turns, own)
        if in_graphs and settable.variables():
            self.traced += 2  # with one to compare
            trace_again(prepared)
        warm = WarmModel(loop=loop, settable=settable, set_variables=setter(variables))
        if own is not None and (own.own_parts or own.arguments):
            warm.own_state = OwnState(loop.model, [*variables, *settable.variables()], settable.numbers, traced)
        remember(warm, config.seed, loop.model)
        return warm, own

    def forget(self) -> None:
        """Hold no model, and so none of the examples they were made for."""
        self.models.clear()
        gc.collect()  # graphs and models refer to each other

    def make_room(self) -> None:
        """Forget the model that was not used for the longest time."""
        if len(self.models) >= KEPT_MODELS:
            self.models.popitem(last=False)
            gc.collect()  # graphs and models refer to each other


def begins_alike(model: keras.Model, build: OwnBuild) -> bool:
    """Whether all parts were built, and not some of them in a step only; and the optimizer's state begins with the same
    numbers whatever the weights are."""
    of_variables = [[one.shape for one in variables] for variables in (model.weights, seed_states(model))]
    if [[one.shape for one in values] for values in (build.weights, build.seeds)] != of_variables:
        return False
    if (len(numbers_of(model)), len(facts_of(model).arguments)) != (len(build.numbers), len(build.arguments)):
        return False
    beginnings = [np.asarray(variable.value) for variable in model.optimizer.variables]
    return all((one == one.flat[0]).all() for one in beginnings if one.size)
