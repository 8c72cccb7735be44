"""Imports TensorFlow and Keras in less than half the time that ``import tensorflow, keras`` takes."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import types
from collections.abc import Iterator
from typing import Any


def import_tensorflow() -> None:
    """Set the environment that this package needs, and import TensorFlow and Keras. Call it before anything does so.

    Every worker that starts, or starts again, waits for this import: 5.3 s on one core of an AMD EPYC, of which 2.4 s
    are left. Keras imports Matplotlib and scikit-learn where they are installed, which takes 1.5 s and 140 MB; and the
    garbage collector goes again and again through all that was imported, 0.5 s.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # tf.keras in the user's code must be Keras 3 as well
    # TensorFlow turns oneDNN on by itself only for processors with AVX-512; with AVX2 it still made the CNN
    # 1.5 times as fast (5.8 to 3.7 s for 100 steps of 128 on one core of an AMD EPYC).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if "keras" in sys.modules:
        return
    gc.disable()
    try:
        with left_out():
            importlib.import_module("tensorflow")
            importlib.import_module("keras")
    finally:
        gc.freeze()
        gc.enable()


class Later(types.ModuleType):
    """Stands for a module that is imported when something of it is wanted."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is not self:
            return getattr(importlib.import_module(self.__name__), name)
        if name.startswith("__"):  # the import system looks at it
            raise AttributeError(name)
        return Later(f"{self.__name__}.{name}")  # from matplotlib import patches


@contextlib.contextmanager
def left_out() -> Iterator[None]:
    """Meanwhile Matplotlib is not really imported, and there seems to be no scikit-learn.

    So ``keras.visualization`` imports Matplotlib when it is used, and ``keras.wrappers``, whose classes train by
    themselves, cannot be used in this process. Whatever else imports the two later gets them.
    """
    stand_ins = {"matplotlib": Later("matplotlib"), "matplotlib.pyplot": Later("matplotlib.pyplot"), "sklearn": None}
    new = {name: module for name, module in stand_ins.items() if name.partition(".")[0] not in sys.modules}
    sys.modules.update(new)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in new:
            del sys.modules[name]
