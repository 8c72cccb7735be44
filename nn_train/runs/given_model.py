"""A Keras model that a call from Python was given: how each worker makes it again."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nn_train.config.schema import TrainConfig
from nn_train.errors import RequestError


class GivenModel:
    """Makes a model anew each time, with the weights, optimizer and losses of the one that was given.

    Attributes:
        digest: of its layers, its compilation and its weights.

    Raises:
        RequestError: it cannot be made again from its configuration.
    """

    def __init__(self, model: keras.Model) -> None:
        self.classes = own_classes(model)
        optimizer = getattr(model, "optimizer", None)
        self.has_trained = optimizer is not None and optimizer.built
        self.policy = model.dtype_policy.name
        try:
            self.content = saved(model)  # holds the time, so that it is another each time
            self.digest = digest_of(model)
            self.made()
        except Exception as error:  # of whatever its layers do
            said = " ".join(str(error).split())[:300]
            raise RequestError(
                f"model: {model.name} cannot be made again from its configuration ({said}); give a function that "
                "builds it"
            ) from error

    def __call__(self) -> keras.Model:
        wanted = keras.config.dtype_policy().name  # which is that of ``train.precision``
        if wanted not in (self.policy, TrainConfig().precision):
            raise RequestError(
                f"train.precision: {wanted}: the layers of a model that is given have their precision, {self.policy}; "
                "give a function that builds it"
            )
        return self.made()

    def made(self) -> keras.Model:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.policy)  # which a Sequential model does not keep
        try:
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                path = Path(folder) / "model.keras"
                path.write_bytes(self.content)
                if not self.has_trained:  # its optimizer has nothing that could be lost
                    warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
                model: keras.Model = keras.models.load_model(path, custom_objects=self.classes)
        finally:
            keras.config.set_dtype_policy(before)
        return model


def saved(model: keras.Model) -> bytes:
    """The content of a ``model.keras``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


def digest_of(model: keras.Model) -> str:
    """Without the names of its layers, which Keras counts on from model to model."""
    described = json.dumps([model.get_config(), model.get_compile_config()], default=repr, sort_keys=True)
    for place, one in enumerate([model, *model._flatten_layers(include_self=False)]):
        described = described.replace(f'"{one.name}"', f'"#{place}"')
    seen = hashlib.sha256(described.encode())
    for weight in model.get_weights():
        seen.update(np.ascontiguousarray(weight).data)
    return seen.hexdigest()


def own_classes(model: keras.Model) -> dict[str, Any]:
    """The classes and functions of a model that Keras does not have, by their names or those that were registered."""
    metrics = getattr(model._compile_metrics, "_user_metrics", None)
    compiled = [getattr(model, "loss", None), getattr(model, "optimizer", None), metrics]
    used = [*model._flatten_layers(), *keras.tree.flatten(compiled)]
    named = [one if hasattr(one, "__name__") else type(one) for one in used]
    own = [one for one in named if one.__module__.partition(".")[0] not in ("keras", "builtins")]
    return {keras.saving.get_registered_name(one): one for one in own}
