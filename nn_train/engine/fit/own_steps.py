"""A step of the user's own is tried on a few rows, alone and spread over the workers: both must come to the same.

What Keras' steps ask for is known, and handed out as that of the whole batch. A step of the user's may do anything with
its rows: take a loss that is no mean over them, compare them with each other, clip gradients before the optimizer has
the sum, decide by what it sees.
"""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.optimizers.base_optimizer import BaseOptimizer

from nn_train.engine.fit.draws import without_chance
from nn_train.engine.fit.replacing import replaced
from nn_train.engine.fit.rows import Rows
from nn_train.engine.fit.rows_apart import ALONE
from nn_train.engine.fit.steps import Step, is_overridden, spread_step
from nn_train.engine.fit.trials import Numbers, difference, few_rows, put, unchanged, values_of
from nn_train.engine.fit.under_way import state_of
from nn_train.engine.fit.workers import sums
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError

SEED = "seed_generator_state"


def check_step(model: keras.Model, name: str, data: Nest, workers: Replicas) -> None:
    """Raise RequestError, on all workers, where several would do otherwise than one. Collective.

    Args:
        model: built, with the same values on all workers, which are the same afterwards.
        name: ``train_step`` or ``test_step``. Keras' own is not tried.
        data: a batch as Keras hands it to a step, the same on all. Of one row nothing can be learnt.
        workers: R and this process's place among them.
    """
    # As many for each, so that none runs into what the others do not, and these wait.
    rows = few_rows(data, each=workers.size)
    if not is_overridden(model, name) or rows is None:
        return
    step, objection = getattr(model, name), ""
    alone: Numbers | None = None
    again: Numbers = {}
    with unchanged(model), without_chance():
        with contextlib.suppress(Exception):  # what is wrong with it, it will say
            outcome(model, step, Rows(rows, workers).own)
            again, alone = outcome(model, step, rows), outcome(model, step, rows)
        if alone is not None and difference(model, again, alone):
            alone = None  # it draws random numbers, and nothing can be compared
        if float(sums([tf.constant(float(alone is None))], workers)[0]) > 0 or alone is None:
            return
        spread: Numbers | None = None
        with contextlib.suppress(Exception):
            spread = outcome(model, spread_step(model, name, workers), rows)
        if spread is not None:
            objection = difference(model, alone, spread)
    if float(sums([tf.constant(float(bool(objection)))], workers)[0]) > 0:
        found = objection or "another worker says what"
        raise RequestError(
            f"{name}: several workers, of which each computes its rows of a batch, would not come to what one does, "
            f"tried on a few rows: {found}. Let its loss be a mean over the rows, of which each stands alone, and the "
            f"optimizer clip the gradients, {ALONE}"
        )


def outcome(model: keras.Model, step: Step, rows: Nest) -> Numbers:
    """What a step gives the optimizers, changes by itself and returns. Random states go on, all else is as it was."""
    found: Numbers = {}

    def note(optimizer: Any, grads: Any, trainable_variables: Any = None) -> None:
        for number, gradient in enumerate(list(grads)):
            if gradient is not None:
                of = f"of {trainable_variables[number].path}" if trainable_variables else f"number {number}"
                found[f"gradient {len(found) + 1}, {of}"] = np.asarray(tf.convert_to_tensor(gradient))

    variables = state_of(model)
    before = values_of(variables)
    with contextlib.ExitStack() as stack:
        for owner in (BaseOptimizer, keras.optimizers.LossScaleOptimizer):
            stack.enter_context(replaced(owner, "apply", note))
        returned = step(rows)
    for number, (variable, value) in enumerate(zip(variables, values_of(variables), strict=True)):
        found[f"change {number + 1} by itself, of {variable.path}"] = value.astype(np.float64) - before[number]
    kept = [place for place, variable in enumerate(variables) if variable.name != SEED]
    put([variables[place] for place in kept], [before[place] for place in kept])
    if isinstance(returned, dict):  # with dicts in it, where it asks each metric of the model for its result
        for path, value in keras.tree.flatten_with_path(returned):
            with contextlib.suppress(TypeError, ValueError):  # where it is no number
                found[f"{' '.join(map(str, path))}, which it returns"] = np.asarray(np.asarray(value), np.float64)
    return found
