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
from nn_train.engine.sample_outputs import made_up, sample_outputs
from nn_train.errors import RequestError

FAR = 7.0  # targets of made-up examples, far from usual outputs: where losses differ most


class GivenModel:
    """Makes a model anew each time, with the weights, optimizer and losses of the one that was given.

    Attributes:
        digest: of its layers, its compilation and its weights.

    Raises:
        RequestError: it cannot be made again from its configuration, or then computes something else.
    """

    def __init__(self, model: keras.Model) -> None:
        self.classes = own_classes(model)
        optimizer = getattr(model, "optimizer", None)
        self.has_trained = optimizer is not None and optimizer.built
        self.policy = model.dtype_policy.name
        try:
            self.content = saved(model)  # holds the time, so that it is another each time
            self.digest = digest_of(model)
            other = difference(model, self.made())
        except Exception as error:  # of whatever its layers do
            said = " ".join(str(error).split())[:300]
            raise RequestError(
                f"model: {model.name} cannot be made again from its configuration ({said}); give a function that "
                "builds it"
            ) from error
        if other:
            raise RequestError(
                f"model: what Keras keeps of {model.name} is not all of it: made again it has another {other}; give a "
                "function that builds it"
            )

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
            return self.loaded()
        finally:
            keras.config.set_dtype_policy(before)

    def loaded(self) -> keras.Model:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            path.write_bytes(self.content)
            with warnings.catch_warnings():
                if not self.has_trained:  # its optimizer has nothing that could be lost
                    warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
                model: keras.Model = keras.models.load_model(path, custom_objects=self.classes)
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


def difference(model: keras.Model, again: keras.Model) -> str | None:
    """Return what differs in the two: what is trained, or what they compute of made-up examples; None where nothing
    does. What Keras does not keep and shows only in later steps, such as a constraint, is not found."""
    checks = {"set of weights that are trained": trained, "output": sample_outputs, "loss": sample_loss}
    return next((name for name, check in checks.items() if check(model) != check(again)), None)


def trained(model: keras.Model) -> list[bool]:
    return [bool(weight.trainable) for weight in model.weights]


def sample_loss(model: keras.Model) -> float | None:
    """Return the loss of made-up examples; None where it takes no targets like the outputs."""
    try:
        inputs = [made_up(one.shape, one.dtype) for one in model.inputs]
        given = inputs if len(inputs) > 1 else inputs[0]
        outputs = model(given, training=False)
        targets = keras.tree.map_structure(lambda one: keras.ops.full_like(one, FAR), outputs)
        return float(model.compute_loss(x=given, y=targets, y_pred=outputs))
    except Exception:  # of the user's code
        return None


def own_classes(model: keras.Model) -> dict[str, Any]:
    """The classes and functions of a model that Keras does not have, by their names or those that were registered."""
    metrics = getattr(model._compile_metrics, "_user_metrics", None)
    compiled = [getattr(model, "loss", None), getattr(model, "optimizer", None), metrics]
    used = [*model._flatten_layers(), *keras.tree.flatten(compiled)]
    named = [one if hasattr(one, "__name__") else type(one) for one in used]
    own = [one for one in named if one.__module__.partition(".")[0] not in ("keras", "builtins")]
    return {keras.saving.get_registered_name(one): one for one in own}
