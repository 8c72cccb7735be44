"""What a model says of made-up examples: by which it is seen whether a saved one, opened with the user's code of now,
computes what it did when it was trained."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from nn_train.engine.fit.replacing import replaced
from nn_train.engine.model_state import metrics_of
from nn_train.engine.steps import call

ROWS = 2
UNKNOWN_SIZE = 8  # of a dimension that can have any size
FEW = 32  # numbers that are kept
TOLERANCE = 0.05  # of the largest number; processors and precisions differ by less, another formula by more


def sample_outputs(model: keras.Model) -> list[float] | None:
    """Some of the outputs, without training, for ``ROWS`` examples that depend on the shapes of the inputs alone.

    None where nothing can be said: inputs that are no numbers, or are not known, outputs that are drawn at random.
    """
    try:
        inputs = [made_up(one.shape, one.dtype) for one in model.inputs]
        found, again = (outputs_for(model, inputs) for _ in range(2))
    except Exception:  # of the user's code, which need not take such examples
        return None
    return [float(f"{value:.6g}") for value in found] if np.array_equal(found, again) else None


def outputs_for(model: keras.Model, inputs: Sequence[Any]) -> Any:
    """Float64 ``[n]`` with n up to ``FEW``. ValueError where one is not finite."""
    with contextlib.ExitStack() as stack:
        for metric in metrics_of(model):  # a layer that updates one would ask the other workers, which are not here
            stack.enter_context(replaced(metric, "update_state", lambda *given, **named: None))
        outputs = call(model, inputs if len(inputs) > 1 else inputs[0], training=False)
    leaves = [keras.ops.convert_to_numpy(leaf).astype(np.float64).ravel() for leaf in keras.tree.flatten(outputs)]
    every = np.concatenate(leaves)
    if not np.isfinite(every).all():
        raise ValueError("outputs are not finite")
    return every[:: max(1, -(-every.size // FEW))]


def made_up(shape: Sequence[int | None], dtype: str) -> Any:
    """Examples: numbers in 0 to 1, 0 and 1 where they are whole. TypeError for what is no number."""
    sizes = [ROWS if shape[0] is None else shape[0], *(UNKNOWN_SIZE if size is None else size for size in shape[1:])]
    count = np.arange(np.prod(sizes), dtype=np.float64).reshape(sizes)
    if dtype == "string":
        raise TypeError("texts")
    if keras.backend.is_float_dtype(dtype):
        return keras.ops.convert_to_tensor(np.abs(np.sin(count + 1)), dtype)
    return keras.ops.convert_to_tensor(count.astype(np.int64) % 2, dtype)


def are_alike(before: Sequence[float], now: Sequence[float] | None) -> bool:
    """Whether two ``sample_outputs`` are those of one model."""
    if now is None or len(now) != len(before):
        return False
    return bool(np.allclose(now, before, rtol=0, atol=TOLERANCE * float(np.abs(before).max()) + 1e-6))
