"""Imports TensorFlow and Keras, as ``import_tensorflow`` does, and the loops: for processes that have no work yet."""

from __future__ import annotations

import contextlib
import importlib

from nn_train.engine.import_tensorflow import import_tensorflow

with contextlib.suppress(Exception):  # whoever imports it again, for its work, tells what is wrong
    import_tensorflow()
    for name in ("loops", "preparation"):
        importlib.import_module(f"nn_train.engine.{name}")
