"""One check of one real step: distributed over the workers it must come to what it does on one.

Outputs, losses and metrics of all rows are exact by construction (``spread.py``). A layer of the user's may look at
other rows, a custom step may sum over its rows, clip gradients before the optimizer has those of all, or keep what only
this worker has seen. What shows on the first batch is found here; what shows later is the user's to know
(docs/contract.md). A model all of whose parts are Keras' own is not probed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.optimizers.base_optimizer import BaseOptimizer

from nn_train.engine.collectives import sums
from nn_train.engine.decomposition import is_of_keras, sums_penalties
from nn_train.engine.draws import Draws, generators_kept
from nn_train.engine.model_state import optimizers_of, state_of, unchanged, values_of
from nn_train.engine.monkeypatch import replaced
from nn_train.engine.parts import Parts
from nn_train.engine.random_state import random_states_kept
from nn_train.engine.rows import Rows
from nn_train.engine.seeds import global_states
from nn_train.engine.spread import is_overridden, spread_predictions, spread_step
from nn_train.engine.strategy import Replicas, alone
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError, without_operation

EACH = 11  # rows of a worker, a number that hardly any layer draws for its weights
SEED = 1  # with which each run of a step begins, so that all draw alike
ALONE = "or train it on one worker"
ADVICE = f"Let each row stand alone, and the loss be a mean over the rows (docs/contract.md), {ALONE}"
# By group, of which the largest says what is a rounding (of the group "" each for itself), and by name.
Numbers = dict[tuple[str, str], np.ndarray]


def check_step(model: keras.Model, kind: str, data: Nest, workers: Replicas) -> None:
    """Raise RequestError, on all workers, where a distributed step comes to something else. Collective.

    Args:
        model: built, with the same plain variables on all workers, which are the same afterwards.
        kind: ``train``, ``test`` or ``predict``.
        data: a batch as Keras hands it to a step, the same on all. Of one row nothing can be learnt.
        workers: this process's place.
    """
    refuse_states_of_rows(model)
    if may_differ(model, kind):
        name = f"{kind}_step"
        spread = spread_predictions(model, workers) if kind == "predict" else spread_step(model, name, workers)
        compare(model, kind, data, workers, getattr(model, name), spread)


def adds_up(model: keras.Model, batch: Nest, workers: Replicas) -> bool:
    """Return whether the sums of parts are those of one worker, on a few rows. Collective.

    Args:
        model: built and compiled, with plain variables, whose loss ``decomposes`` as far as Keras knows.
        batch: as the model sees it, the same on all workers.
        workers: this process's place.
    """
    count = count_of(batch)
    try:
        return count >= workers.size and compare(
            model, "train", batch, workers, added_step(model, alone(workers)), added_step(model, workers)
        )
    except RequestError:
        return False


def added_step(model: keras.Model, workers: Replicas) -> Callable[[Nest], Any]:
    """The fast step of a whole batch, after which the metrics have counted the rows of all. Collective."""

    def step(data: Nest) -> Any:
        rows = Rows.dealt(data, workers)
        with Draws(rows).in_place():
            loss = Parts(model, rows, may_be_empty=False).train(rows.own)
        variables = model.metrics_variables
        for variable, value in zip(variables, sums([one.value for one in variables], workers), strict=True):
            variable.assign(value)
        return {"loss": loss}

    return step


def compare(
    model: keras.Model,
    kind: str,
    data: Nest,
    workers: Replicas,
    step: Callable[[Nest], Any],
    distributed: Callable[[Nest], Any],
) -> bool:
    """Compare a step with itself, distributed over the workers, on the first rows of a batch. Collective.

    Returns:
        whether it runs at all.

    Raises:
        RequestError: it does not come to the same; on all workers.
    """
    rows = first_rows(data, EACH * workers.size)
    if rows is None:
        return True
    whole: Numbers = {}
    again: Numbers = {}
    own: Numbers = {}
    error = ""
    with random_states_kept(), generators_kept():
        with contextlib.suppress(Exception):  # what is wrong with it, it will say
            whole, again = outcome(model, step, rows), outcome(model, step, rows)
        try:
            own = outcome(model, step, Rows.dealt(rows, workers).own)
        except Exception as raised:
            error = str(raised)
        runs = [bool(whole), bool(own), not difference(model, whole, again)]
        everywhere = np.asarray(sums([tf.constant([float(one) for one in runs])], workers)[0]) == workers.size
        if not everywhere[0]:
            return False
        if not everywhere[1]:
            raise RequestError(
                f"{kind}_step: it runs on a batch of {count_of(rows)} rows, and not on those of a worker "
                f"({without_operation(error) or 'another worker says why'}). {ADVICE}"
            )
        if not everywhere[2]:
            return True  # it draws random numbers in a way of its own: nothing can be compared
        try:
            found = difference(model, whole, outcome(model, distributed, rows))
        except tf.errors.InvalidArgumentError as raised:
            found = without_operation(str(raised))
    if float(sums([tf.constant(float(bool(found)))], workers)[0]) > 0:
        raise RequestError(
            f"{kind}_step: {workers.size} workers, of which each computes its rows of a batch, do not come to what one "
            f"does, seen on the first rows: {found or 'another worker says what'}. {ADVICE}"
        )
    return True


def refuse_where_whole_runs(model: keras.Model, kind: str, data: Nest, error: Exception) -> None:
    """Raise RequestError where a step that cannot be distributed runs on the whole batch."""
    try:
        with unchanged([*state_of(model), *global_states()]):
            getattr(model, f"{kind}_step")(data)
    except Exception:
        return  # then the first error says what is wrong with it
    raise RequestError(
        f"{kind}_step: it runs on a batch of {count_of(data)} rows, and not on those of a worker "
        f"({without_operation(str(error))}). {ADVICE}"
    ) from error


def may_differ(model: keras.Model, kind: str) -> bool:
    """Return whether a step has parts that are not Keras' own."""
    names = (f"{kind}_step", "compute_loss", "compute_metrics")
    return not is_of_keras(model) or sums_penalties(model) or any(is_overridden(model, name) for name in names)


def refuse_states_of_rows(model: keras.Model) -> None:
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False) is True:
            raise RequestError(
                f"{layer.path}: stateful=True keeps a state for each row of a batch, of which each worker sees its own "
                f"rows alone; leave it out, {ALONE}"
            )


def outcome(model: keras.Model, step: Callable[[Any], Any], rows: Nest) -> Numbers:
    """Run a step; return its gradients, what it leaves in all variables but the trained, and what it returns.

    The trained weights are left out: a first step of Adam goes by the sign of a gradient that may be a rounding. All
    variables are as before afterwards.
    """
    found: Numbers = {}
    trained: set[int] = set()
    slots = {id(variable) for optimizer in optimizers_of(model) for variable in optimizer.variables}
    apply = BaseOptimizer.apply

    def noted(optimizer: Any, grads: Any, trainable_variables: Any = None) -> Any:
        grads = list(grads)
        weights = trainable_variables or getattr(optimizer, "_trainable_variables", ())
        for number, gradient in enumerate(grads):
            if gradient is not None:
                found["gradient", f"gradient {len(found) + 1}, of {weights[number].path}"] = dense(gradient)
        trained.update(id(weight) for weight in weights)
        return apply(optimizer, grads, trainable_variables)

    variables = state_of(model)
    tf.random.set_seed(SEED)
    with unchanged([*variables, *global_states()]), replaced(BaseOptimizer, "apply", noted):
        returned = step(rows)
        values = values_of(variables)
    for variable, value in zip(variables, values, strict=True):
        if id(variable) not in trained:
            group = variable.name.rpartition("_")[2] if id(variable) in slots else ""
            found[group, variable.path] = value.astype(np.float64)
    for path, value in keras.tree.flatten_with_path(returned):
        with contextlib.suppress(TypeError, ValueError):  # where it is no number
            place = " ".join(map(str, path)) or "the output"
            found["", f"{place}, which it returns"] = np.asarray(np.asarray(value), np.float64)
    return found


def dense(gradient: Any) -> np.ndarray:
    return np.asarray(tf.convert_to_tensor(gradient), np.float64)


def first_rows(data: Nest, most: int) -> Any:
    """The first rows of a batch; None where there are not two, or not all of it is dense."""
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    if not all(isinstance(leaf, tf.Tensor) and leaf.shape.rank not in (0, None) for leaf in leaves):
        return None
    rows = min([most, *(int(leaf.shape[0]) for leaf in leaves)])
    return keras.tree.map_structure(lambda leaf: leaf if leaf is None else leaf[:rows], data) if rows > 1 else None


def count_of(rows: Nest) -> int:
    return next(int(leaf.shape[0]) for leaf in tf.nest.flatten(rows) if leaf is not None)


def difference(model: keras.Model, one: Numbers, other: Numbers) -> str:
    """Return what differs by more than roundings, in words; empty: nothing."""
    if one.keys() != other.keys():
        return f"{min(one.keys() ^ other.keys())[1]}, is there on one worker and not on several, or the other way round"
    # Sums in another order differ by the largest of their parts, of which nearly nothing may be left.
    tolerance = max(1e-3, precision(model))
    noise = 1e-6 if tolerance == 1e-3 else tolerance  # of the largest of the group: what is left of one that is zero
    largest: dict[str, float] = {}
    for (group, _), value in one.items():
        size = np.max(np.abs(value), initial=0, where=np.isfinite(value))
        largest[group] = max(largest.get(group, 0.0), float(size))
    for key, value in one.items():
        ours, theirs = np.asarray(value, np.float64), np.asarray(other[key], np.float64)
        of_zero = noise * largest[key[0]] if key[0] else noise
        atol = tolerance * np.max(np.abs(ours), initial=0, where=np.isfinite(ours)) + of_zero
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=0, atol=atol, equal_nan=True):
            on_one, on_several = short(ours, theirs)
            return f"{key[1]}, is {on_one} on one and {on_several} on several"
    return ""


def precision(model: keras.Model) -> float:
    """Relative: the roundings of the least precise layer, and on GPUs of TensorFloat-32."""
    least = min(tf.as_dtype(layer.compute_dtype).size for layer in model._flatten_layers())
    return 3e-2 if least < 4 else 1e-2 if tf.config.list_logical_devices("GPU") else 1e-5


def short(one: np.ndarray, other: np.ndarray) -> tuple[str, str]:
    """Of two arrays what differs most, at most three entries, for a message."""
    pair = [value.reshape(-1) for value in (one, other)]
    most = np.sort(np.argsort(-np.abs(pair[0] - pair[1]), kind="stable")[:3]) if one.shape == other.shape else slice(3)
    first, second = (np.array2string(value[most], precision=4, separator=", ") for value in pair)
    return first, second
