"""Whether a model that was made again from Keras' description of it computes what the first one does.

Not all that decides what a model computes is in its description: ``keras.losses.Huber`` comes back with the default
``delta``, a variable without the regularizer that it was given.
"""

from __future__ import annotations

import hashlib
import re
import types
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

PLAIN = (bool, int, float, complex, str, bytes, type(None), range, np.generic)
# What building, training and counting leave, and names.
SKIPPED = {"name", "_name", "_path", "_parent_path", "built", "_lock", "_auto_config", "_initial_seed", "_tracked"}
SKIPPED |= {"_called", "_compiled_trainable_state", "train_function", "test_function", "predict_function"}
SKIPPED |= {"is_awq_calibrated", "is_gptq_calibrated", "_trainable_variables_indices"}
# Whose own settings are those of what holds them.
HELD = (
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.DTypePolicy,
)
COMPILED_WITH = ("loss", "loss_weights", "metrics", "weighted_metrics")


class NotASettingError(Exception):
    """A value that is compared elsewhere, as a part of its own, or not at all."""


def lost_settings(model: keras.Model, again: keras.Model) -> list[str]:
    """What differs between ``model`` and the one that was made ``again`` from its description, a text each."""
    parts, others = list(parts_of(model)), list(parts_of(again))
    if len(parts) != len(others):
        return [f"it has {len(parts)} layers, weights and losses, and then {len(others)}"]
    return [
        lost for (name, one), (_, other) in zip(parts, others, strict=True) for lost in differences(name, one, other)
    ]


def parts_of(model: keras.Model) -> Iterator[tuple[str, Any]]:
    """All that a model is made of, each with what it is called."""
    for layer in model._flatten_layers():
        yield layer.name, layer
    for weight in model.weights:
        yield weight.path, weight
    compiled = getattr(model, "_compile_config", None)
    if model.compiled and compiled is not None:
        yield "the optimizer", model.optimizer
        yield "the optimizer", getattr(model.optimizer, "inner_optimizer", None)
        for setting in COMPILED_WITH:
            for one in keras.tree.flatten(compiled.config.get(setting)):
                yield getattr(one, "name", None) or setting, one


def differences(name: str, one: object, other: object) -> Iterator[str]:
    """What differs in one part."""
    before, after = settings_of(one), settings_of(other)
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            yield f"{key.lstrip('_')} of {name}: {before.get(key)} → {after.get(key)}"


def settings_of(one: object) -> dict[str, str]:
    """By their names, those attributes of a part that can be told in words; of a plain value itself."""
    if isinstance(one, keras.Variable):
        held = {key: getattr(one, key) for key in ("trainable", "regularizer", "constraint", "dtype")}
    elif isinstance(one, (*PLAIN, types.FunctionType)):
        held = {"value": one}
    else:
        held = {"class": type(one), **getattr(one, "__dict__", {})}
    found = {}
    for key, value in held.items():
        if key not in SKIPPED and "build" not in key:
            try:
                found[key] = in_words(value)
            except NotASettingError:
                continue
    return {
        key: words for key, words in found.items() if words not in ("()", "{}", "0 of them", "None")
    }  # lists before and after


def in_words(value: object) -> str:
    """Raises NotASettingError for what is no setting: layers, variables, tensors, and whatever else."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()[:12]}"
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType | type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, re.Pattern):
        return repr(value.pattern)
    if isinstance(value, set) and all(isinstance(one, int | str) for one in value):
        return f"{len(value)} of them"  # such as the identities of variables
    if isinstance(value, list | tuple):
        return f"({', '.join(map(in_words, value))})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{in_words(key)}: {in_words(item)}' for key, item in value.items())}}}"
    if isinstance(value, HELD):
        return f"{type(value).__name__}({', '.join(f'{k}={v}' for k, v in settings_of(value).items() if k != 'class')})"
    raise NotASettingError
