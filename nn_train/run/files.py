"""Models that all workers save at one place at the same time: each writes a file of its own, and renames it.

The contents are the same on all, so that it does not matter whose stays; and who has saved finds it at once.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from nn_train.engine.fit.workers import join

NAMES = ("save", "save_model", "save_weights", "export")
PLACES = (keras.Model, keras.saving, keras.models, tf.keras.models)


def write_apart() -> None:
    """Let Keras' functions that save a model write a file of each worker's own first."""
    for place in PLACES:
        for name in NAMES:
            if hasattr(place, name):
                setattr(place, name, apart(getattr(place, name), join().rank))


def apart(function: Callable[..., Any], rank: int) -> Callable[..., Any]:
    """Return a function that saves a model so; what is no single file is left to the first worker."""

    @functools.wraps(function)
    def write(model: keras.Model, filepath: Any, overwrite: bool = True, *args: object, **named: Any) -> Any:
        if overwrite is not True or args or any(named.values()) or not is_one_file(filepath):
            return function(model, filepath, overwrite, *args, **named) if rank == 0 else None
        own = Path(filepath).with_name(f".{rank}-{Path(filepath).name}")
        try:
            function(model, own, **named)
            os.replace(own, filepath)
        finally:
            own.unlink(missing_ok=True)

    return write


def is_one_file(path: object) -> bool:
    """Return whether Keras writes one file there."""
    named = isinstance(path, str | Path) and "://" not in str(path)
    return named and Path(str(path)).suffix in (".keras", ".h5", ".hdf5")
