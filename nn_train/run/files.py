"""What all workers of a machine do to one file at the same time: save a model, and download data."""

from __future__ import annotations

import fcntl
import functools
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from nn_train.engine.fit.workers import join

LOCK = Path(tempfile.gettempdir(), f"nn-train-download-{os.geteuid()}.lock")


def share() -> None:
    """Let Keras' functions of this process save and download as others do the same."""
    for place in (keras.Model, keras.saving, keras.models, tf.keras.models):
        for name in ("save", "save_model", "save_weights", "export"):
            if hasattr(place, name):
                setattr(place, name, saved_apart(getattr(place, name), join().rank))
    download: Callable[..., Any] = keras.utils.get_file
    for module in list(sys.modules.values()):  # Keras' own data sets and models have taken it by its name
        if vars(module).get("get_file") is download:
            vars(module)["get_file"] = in_turn(download)


def saved_apart(function: Callable[..., Any], rank: int) -> Callable[..., Any]:
    """Return ``function``, by which each worker writes a file of its own and renames it.

    The contents are the same on all, so that it does not matter whose stays, and who has saved finds it at once. What
    is no single file is left to the first worker.
    """

    @functools.wraps(function)
    def save(model: keras.Model, filepath: Any, *args: object, **named: Any) -> Any:
        whole = named.get("overwrite", True) and named.get("zipped") is not False and "max_shard_size" not in named
        here = whole and isinstance(filepath, str | Path) and "://" not in str(filepath) and args in ((), (True,))
        if not here or not str(filepath).endswith((".keras", ".h5", ".hdf5")):
            return function(model, filepath, *args, **named) if rank == 0 else None
        own = Path(filepath).with_name(f".{rank}-{Path(filepath).name}")
        try:
            function(model, own, *args, **named)
            os.replace(own, filepath)
        finally:
            own.unlink(missing_ok=True)

    return save


def in_turn(download: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``download`` for one worker at a time: the next one finds the file."""

    @functools.wraps(download)
    def locked(*args: object, **named: Any) -> Any:
        with open(LOCK, "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return download(*args, **named)

    return locked
