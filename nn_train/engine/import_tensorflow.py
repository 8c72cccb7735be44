"""Imports TensorFlow and Keras in less time than ``import tensorflow, keras`` takes. Imports nothing of this package:
the fork server runs this file."""

from __future__ import annotations

import gc
import importlib
import os
import sys

# Keras and TensorFlow import these where they are installed, which takes 1.5 s and 140 MB, and go without them else.
UNUSED = ("matplotlib", "pandas", "sklearn", "scipy", "googleapiclient")


def set_environment() -> None:
    """Set what TensorFlow reads when it is imported, by us or by a module of the user's."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # tf.keras in the user's code must be Keras 3 as well
    # TensorFlow turns oneDNN on by itself only for processors with AVX-512; with AVX2 it still made the CNN
    # 1.5 times as fast (5.8 to 3.7 s for 100 steps of 128 on one core of an AMD EPYC).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def import_tensorflow() -> None:
    """Set the environment that this package needs, and import TensorFlow and Keras. Call it before anything does so.

    Every worker that starts, or starts again, waits for this import: 5.3 s on one core of an AMD EPYC, of which 2.4 s
    are left. The garbage collector alone, which goes again and again through all that was imported, takes 0.5 s.
    """
    set_environment()
    if "keras" in sys.modules:
        return
    unused = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unused))  # type: ignore[arg-type]  # None: an import of it fails
    gc.disable()
    try:
        importlib.import_module("tensorflow")
        importlib.import_module("keras")
    finally:
        for name in unused:
            del sys.modules[name]  # from now on whoever imports it gets it
        gc.freeze()
        gc.enable()


def import_quietly() -> None:
    """Do the same in the driver, without what TensorFlow's libraries write to the terminal while they are loaded."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as silent:
            os.dup2(silent.fileno(), 2)
        import_tensorflow()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
