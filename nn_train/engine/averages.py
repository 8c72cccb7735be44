"""Averaged weights (``use_ema`` of an optimizer): what a training leaves, and what is judged, is the averages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import numpy as np


@contextlib.contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Meanwhile the weights are their averages, as Keras' ``fit`` leaves them at its end; training goes on without."""
    if not getattr(getattr(model.optimizer, "inner_optimizer", model.optimizer), "use_ema", False):
        yield
        return
    kept = [np.asarray(variable.value) for variable in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, kept, strict=True):
            variable.assign(value)
