"""What the graph of a model depends on, and the numbers that a trial sets without tracing it again.

Learning rate and schedule, weight decay, dropout rates and penalties are variables that the traced steps read. The
arithmetic is that of the constants they replace, so that a trial ends with the same bits as a run of its config.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from nn_train.config import Config
from nn_train.config.options import FrozenDict
from nn_train.config.schema import OptimizerConfig
from nn_train.engine.fit.under_way import optimizers_of
from nn_train.engine.keras_names import keras_class
from nn_train.engine.models import DEFAULT_DROPOUT, dropout_rate
from nn_train.engine.optimizers import learning_rate
from nn_train.engine.preparation import PreparedModel
from nn_train.search.warm.layer_numbers import SettableNumber, numbers_of_layers
from nn_train.search.warm.optimizer_numbers import (
    decay_of,
    description,
    numbers_of_optimizer,
    plain,
    schedule_to_variables,
)


def is_preset(config: Config) -> bool:
    """Whether the model is one of this project's."""
    return config.model.name in DEFAULT_DROPOUT


def all_settings(config: Config) -> dict[str, Any]:
    """What a trial can differ in, but for its examples."""
    sections = {"model": config.model, "optimizer": config.optimizer, "train": config.train}
    fields = ((f"{name}.{key}", value) for name, section in sections.items() for key, value in vars(section).items())
    return {**dict(fields), "seed": config.seed}


def traced_settings(config: Config) -> tuple[Any, ...]:
    """What the graph of a config depends on; configs that agree in it differ in settable numbers only."""
    model, optimizer, train = config.model, config.optimizer, config.train
    dropout = dropout_rate(model) if is_preset(config) else model.dropout
    shape = {**vars(model), "dropout": dropout and True, "l2": bool(model.l2)}
    decay = weight_decay(optimizer)
    args: dict[str, Any] = {**optimizer.args, "weight_decay": bool(decay)}
    of_schedule: tuple[Any, ...] = ()
    if optimizer.schedule == "exponential":  # a product, into which its factor and the decay are folded
        args = dict(optimizer.args)
        of_schedule = (optimizer.decay_steps, optimizer.decay_rate, optimizer.learning_rate if decay else None)
    steps = (optimizer.name, optimizer.schedule, bool(optimizer.warmup_steps), of_schedule, FrozenDict(args))
    return (FrozenDict(shape), steps, train.loss, train.metrics, train.precision, config.data)


def weight_decay(settings: OptimizerConfig) -> float | None:
    """By which an optimizer of the config lets weights decay."""
    made = keras_class("optimizer.name", "optimizers", settings.name)
    by_itself = inspect.signature(made).parameters.get("weight_decay")
    decay: float | None = settings.args.get("weight_decay", by_itself.default if by_itself is not None else None)
    return decay


def users_numbers(model: Any, compiled_by_user: bool) -> tuple[list[SettableNumber], list[str]]:
    """The settable numbers of a model that a user's function has made, its optimizers' too, and what else these are."""
    made = [plain(one) for one in optimizers_of(model) if compiled_by_user or one is not model.optimizer]
    numbers = [number for one in made for number in numbers_of_optimizer(one)]
    return [*numbers_of_layers(model), *numbers], [description(one) for one in made]


class SettableHyperparameters:
    """Makes the numbers of a model settable.

    Args:
        prepared: as ``prepare_model`` gives it.
        config: of its first trial.
        total_steps: of that.
    """

    def __init__(self, prepared: PreparedModel, config: Config, total_steps: int | None) -> None:
        model, self.optimizer = prepared.model, plain(prepared.model.optimizer)
        self.numbers, _ = users_numbers(model, prepared.compiled_by_user)
        self.decay: list[SettableNumber] = []
        self.schedule: dict[str, tf.Variable] = {}
        self.by_config = not prepared.compiled_by_user
        if self.by_config:
            self.decay = decay_of(self.optimizer) if config.optimizer.schedule != "exponential" else []
            self.schedule = schedule_to_variables(self.optimizer, learning_rate(config.optimizer, total_steps))
        for number in (*self.numbers, *self.decay):
            number.make_settable()

    def set(self, config: Config, total_steps: int | None, values: Sequence[float] | None) -> None:
        """Take the numbers of ``config``, which must agree in its ``traced_settings``.

        ``values``: what a user's function has made of it; None for a preset.
        """
        if values is None:
            rate, l2 = dropout_rate(config.model), config.model.l2
            values = [rate if number.is_rate else l2 for number in self.numbers]
        for number, value in zip(self.numbers, values, strict=True):
            number.set(value)
        if self.by_config:
            for number in self.decay:
                number.set(float(weight_decay(config.optimizer) or 0))
            self.set_rate(learning_rate(config.optimizer, total_steps))

    def set_rate(self, rate: Any) -> None:
        """``rate``: a constant, or a schedule."""
        for name, variable in self.schedule.items():
            variable.assign(float(getattr(rate, name)))
        if not self.schedule:
            self.optimizer.learning_rate = rate
