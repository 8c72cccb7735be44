"""Models that stay traced between the trials of one process.

Building a model, and tracing its training and evaluation, takes longer than an epoch of a small one. Trials
that differ in settable hyperparameters only share all three: the variables are set back to where a new model begins.
For a user's function ``search.reuse_graph`` promises that its models differ in nothing else.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from nn_train.config import Config
from nn_train.datasets import SplitData
from nn_train.engine.batches import may_be_without_rows
from nn_train.engine.chunks import Nobody, NoHooks
from nn_train.engine.collectives import sum_over_all
from nn_train.engine.loop import Loop
from nn_train.engine.preparation import PreparedModel, prepare_model, total_steps
from nn_train.engine.seeds import kernels_kept, seed_states
from nn_train.engine.steps import ExactSteps
from nn_train.engine.strategy import Replicas
from nn_train.runs.checkpoints import state_variables
from nn_train.search.warm.model import UsersBuild, WarmModel, kind_of, setter, users_build
from nn_train.search.warm.promise import broken
from nn_train.search.warm.settable import SettableHyperparameters, all_settings, is_preset, traced_settings

KEPT_MODELS = 32
# TensorFlow does not give back what a graph took: 4 MB for the MLP, measured over 48 models made and forgotten.
# After so many a process is better replaced by a new one.
TRACED_AT_MOST = 128
FIRST_STEPS = 2  # that are compared; the loss of the second depends on the update of the first
TOLERANCE = {"float32": 1e-5}  # relative, of their losses
OF_16_BITS = 1e-2


class WarmModels:
    """The most recently used models of this process. All workers of a trial must ask for the same ones in turn."""

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas
        self.models: OrderedDict[Any, WarmModel] = OrderedDict()
        self.traced = 0

    def get(
        self,
        config: Config,
        data: SplitData,
        by_batches: bool = False,
        once: bool = False,
    ) -> WarmModel:
        """A model that is as ``prepare_model`` would make it anew, from the same arguments.

        ``once``: somebody may change more of it than its variables. No other trial has it then, and its numbers stay
        where Keras has them.

        Raises:
            RequestError: the model does not fit the data, or ``search.reuse_graph`` promises too much.
        """

        def new() -> PreparedModel:
            self.traced += 1
            return prepare_model(config, data, self.replicas, by_batches=by_batches)

        if once or not (is_preset(config) or (config.search.reuse_graph and not data.is_stream)):
            gc.collect()  # the graph of the trial before, and its model, refer to each other
            return self.warm(new(), config, data)
        build = None if is_preset(config) else users_build(config, data, self.replicas)
        short = may_be_without_rows(data, config.train.batch_size, self.replicas)
        key = traced_settings(config), by_batches, short, build and build.kind
        warm = self.take(key, config)
        with kernels_kept():
            keras.utils.set_random_seed(config.seed)
        if warm is None:
            self.make_room()
            warm = self.settable(new(), config, data, build)
        elif build is not None:
            self.check_promise(warm, config, data, build, new)
        elif config.seed not in warm.beginnings:
            warm.remember(config.seed, prepare_model(config, data, self.replicas, by_batches=by_batches).model)
        if build is None or optimizers_begin_alike(warm):
            self.models[key] = warm
        warm.begin(config, build)
        return warm

    def take(self, key: Any, config: Config) -> WarmModel | None:
        """The model that is traced already, where all workers have it. Collective for models of the user's."""
        warm = self.models.pop(key, None)
        if is_preset(config):
            return warm
        return warm if sum_over_all([float(warm is not None)], self.replicas) == [self.replicas.size] else None

    def warm(
        self, prepared: PreparedModel, config: Config, data: SplitData, settable: SettableHyperparameters | None = None
    ) -> WarmModel:
        """A model with its loop."""
        loop = prepared.loop()
        return WarmModel(loop, all_settings(config), settable, setter(state_variables(loop.model)))

    def settable(self, prepared: PreparedModel, config: Config, data: SplitData, build: UsersBuild | None) -> WarmModel:
        """The same, whose numbers can be set."""
        if build is not None and kind_of(prepared.model, prepared.compiled_by_user) != build.kind:
            raise broken(config, "have other variables or optimizers")
        settable = SettableHyperparameters(prepared, config, total_steps(config.train, data))
        if isinstance(prepared.steps, ExactSteps):  # whose graph has the numbers as constants
            self.traced += 1
            prepared.steps.trace()
        warm = self.warm(prepared, config, data, settable)
        warm.remember(config.seed, prepared.model)
        return warm

    def check_promise(
        self, warm: WarmModel, config: Config, data: SplitData, build: UsersBuild, new: Callable[[], PreparedModel]
    ) -> None:
        """Compare the first steps of a graph with those of a model made anew: when it is used again, and when a setting
        first has another value than the graph was traced with. Collective.

        Raises:
            RequestError: the losses are others.
        """
        unlike = warm.unlike(config)
        if warm.checked is not None and unlike <= warm.checked:
            return
        loops = (warm.loop, new().loop())
        shapes = [[tuple(one.shape) for one in state_variables(loop.model)] for loop in loops]
        if shapes[0] != shapes[1]:
            raise broken(config, "have other variables")
        warm.begin(config, build)
        losses = [first_losses(loop) for loop in loops]
        if not np.isclose(losses[0], losses[1], rtol=TOLERANCE.get(config.train.precision, OF_16_BITS), equal_nan=True):
            raise broken(config, f"have other losses in the first steps ({losses[0]:.6g} and {losses[1]:.6g})")
        warm.checked = unlike | (warm.checked or set())
        with kernels_kept():
            keras.utils.set_random_seed(config.seed)

    def forget(self) -> None:
        """Hold no model, and so none of the examples they were made for."""
        self.models.clear()
        gc.collect()  # graphs and models refer to each other

    def make_room(self) -> None:
        """Forget the model that was not used for the longest time."""
        if len(self.models) >= KEPT_MODELS:
            self.models.popitem(last=False)
            gc.collect()  # graphs and models refer to each other


class PausedError(Exception):
    """Ends an epoch after its first steps."""


class FirstSteps(NoHooks):
    """Pauses there."""

    def train(self, reads_stream: bool, first: bool) -> int:
        return FIRST_STEPS

    def pause(self, gather: Callable[[], np.ndarray], step: int, loss_sum: float) -> None:
        raise PausedError(loss_sum)


def first_losses(loop: Loop) -> float:
    """The losses of the first steps in sum; their mean where there are no more steps. Changes the model."""
    loop.listener = Nobody()
    try:
        return float(loop.train_epoch(0, hooks=FirstSteps())["loss"])
    except PausedError as paused:
        return float(paused.args[0])
    except FloatingPointError:
        return float("nan")


def optimizers_begin_alike(warm: WarmModel) -> bool:
    """Whether the optimizers' state begins with the same numbers whatever the weights are."""
    beginnings, model = next(iter(warm.beginnings.values())), warm.loop.model
    return all(
        (one == one.flat[0]).all() for one in beginnings[len(model.weights) : -len(seed_states(model))] if one.size
    )
