"""The numbers of a model that a trial can set without tracing its graph again.

Learning rate and schedule, dropout rates and penalties become variables that the traced steps read. The
arithmetic is that of the constants they replace, so that a trial ends with the same bits as a run of its config.
"""

from __future__ import annotations

import inspect
from typing import Any

import tensorflow as tf

from nn_train.config import Config
from nn_train.config.schema import OptimizerConfig
from nn_train.engine.keras_names import keras_class
from nn_train.engine.models import DEFAULT_DROPOUT, dropout_rate
from nn_train.engine.optimizers import learning_rate
from nn_train.engine.preparation import PreparedModel
from nn_train.search.warm import schedule_numbers
from nn_train.search.warm.layer_numbers import numbers_of, set_numbers
from nn_train.search.warm.own_builds import OwnBuild, further_optimizers
from nn_train.search.warm.own_code import REACHES_ATTRIBUTES

# By these names code of the user's could read a number of a schedule, for which graphs have a variable, or compute with
# the rate, which TensorFlow would multiply with another factor in advance.
READS_SCHEDULES = REACHES_ATTRIBUTES | {schedule_numbers.FACTOR, *schedule_numbers.OF_WARMUP}
READS_SCHEDULES |= {"learning_rate", "_learning_rate", "_get_current_learning_rate"}


def all_settings(config: Config) -> tuple[Any, ...]:
    """What a graph can depend on."""
    return (config.model, config.optimizer, config.train, config.data)


def traced_settings(config: Config) -> tuple[Any, ...]:
    """What the graph of a config depends on; configs that agree in it differ in settable numbers only.

    Of a model of the user's own without what its function makes of the config (``own_builds.py``).
    """
    model, optimizer, train = config.model, config.optimizer, config.train
    shape: tuple[Any, ...] = (model.name,)
    if model.name in DEFAULT_DROPOUT:
        shape += (model.hidden_units, model.activation, bool(dropout_rate(model)), bool(model.l2))
    decay: tuple[Any, ...] = ()
    if optimizer.schedule == "exponential":
        decay = (optimizer.decay_steps, optimizer.decay_rate, optimizer.learning_rate if decays(optimizer) else None)
    schedule = (optimizer.name, optimizer.schedule, bool(optimizer.warmup_steps), decay, optimizer.args)
    return (shape, schedule, train.loss, train.metrics, train.precision, config.data)


def decays(settings: OptimizerConfig) -> bool:
    """Whether an optimizer of the config lets weights decay, which fixes the rate of a schedule without a branch."""
    made = keras_class("optimizer.name", "optimizers", settings.name)
    by_itself = inspect.signature(made).parameters.get("weight_decay")
    return bool(settings.args.get("weight_decay", by_itself.default if by_itself is not None else None))


def schedule_is_unread(own: OwnBuild) -> bool:
    """Whether no code of the user's reads the numbers of the schedule, so that they can be set."""
    return not own.words & (READS_SCHEDULES | schedule_numbers.attributes_of(own.schedule))


def has_schedule(config: Config) -> bool:
    """Whether the optimizer that a config makes has one."""
    return config.optimizer.schedule != "constant" or bool(config.optimizer.warmup_steps)


class SettableHyperparameters:
    """Makes the numbers of a model settable, where it has such.

    Args:
        prepared: as ``prepare_model`` gives it.
        is_known: whether all is known that a graph of the model depends on.
        turns: whether more than a learning rate without schedule can be set.
        own: what a function of the user's has built.
    """

    def __init__(
        self, prepared: PreparedModel, is_known: bool, turns: bool = True, own: OwnBuild | None = None
    ) -> None:
        model = prepared.model
        self.is_known = is_known
        self.optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        self.further = further_optimizers(model)
        self.compiled_by_user = prepared.compiled_by_user
        self.schedule: dict[str, tf.Variable] = {}
        numbers = numbers_of(model) if is_known and turns else []
        self.numbers = [one for at, one in enumerate(numbers) if own is None or not own.constant[at]]
        for number in self.numbers:
            number.make_settable()
        if is_known and turns and (own is None or schedule_is_unread(own)):
            self.schedule = schedule_numbers.numbers_to_variables(self.optimizer)

    def set(self, config: Config, total_steps: int | None, own: OwnBuild | None) -> None:
        """Take the numbers of ``config``, which must agree in its ``traced_settings``, and of what was built of it."""
        if not self.is_known:
            return
        if not self.compiled_by_user:
            self.set_schedule(learning_rate(config.optimizer, total_steps))
        elif own is not None and own.rate is not None:
            self.optimizer.learning_rate = own.rate
        elif own is not None:
            for name, variable in self.schedule.items():
                variable.assign(float(own.schedule[name]))
        if own is not None:
            for optimizer, rate in zip(self.further, own.further_rates, strict=True):
                optimizer.learning_rate = rate
            set_numbers(self.numbers, own.numbers_of(constant=False) if self.numbers else ())
            return
        dropped, l2 = dropout_rate(config.model), config.model.l2
        set_numbers(self.numbers, [l2 if one.is_penalty else dropped for one in self.numbers])

    def variables(self) -> list[tf.Variable]:
        """Those that were made for numbers."""
        return [*self.schedule.values(), *(one for number in self.numbers for one in number.variables())]

    def set_schedule(self, rate: Any) -> None:
        for name, variable in self.schedule.items():
            variable.assign(float(getattr(rate, name)))
        if not self.schedule:
            self.optimizer.learning_rate = rate
