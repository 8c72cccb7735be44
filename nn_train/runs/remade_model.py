"""Whether a model that was made again from Keras' description of it computes what the first one does.

Not all that decides what a model computes is in its description: ``keras.losses.Huber`` comes back with the default
``delta``, a variable without the regularizer that it was given.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

PLAIN = (bool, int, float, complex, str, bytes, type(None), range, np.generic)
# What building, training and counting leave, and names.
SKIPPED = {"name", "_name", "_path", "_parent_path", "built", "_built", "_lock", "_auto_config", "_initial_seed"}
SKIPPED |= {"_called", "_compiled_trainable_state", "train_function", "test_function", "predict_function", "_tracked"}
SKIPPED |= {"_is_awq_calibrated", "is_awq_calibrated", "is_gptq_calibrated", "_trainable_variables_indices", "summary"}
SKIPPED |= {"stop_training", "stop_evaluating", "_exclude_from_weight_decay_cache", "_build_shapes_dict"}
SKIPPED |= {"_nodes", "_build_input_shape", "_build_by_run_for_single_pos_arg", "_build_by_run_for_kwargs"}
# Compared as parts of their own.
PARTS: tuple[type, ...] = (keras.layers.Layer, keras.metrics.Metric, keras.optimizers.Optimizer, keras.Variable)
PARTS += (keras.KerasTensor, keras.initializers.Initializer, keras.random.SeedGenerator, types.ModuleType)
FEW = 64  # numbers that are told as such
COUNTED = re.compile(r"_\d+$")  # behind the names of variables
# Whose own settings are those of what holds them.
HELD = (
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.DTypePolicy,
)
EMPTY = ("()", "{}", "0 of them", "None")
COMPILED_WITH = ("loss", "loss_weights", "metrics", "weighted_metrics")


class NotASettingError(Exception):
    """A value that is compared elsewhere, as a part of its own, or not at all."""


def lost_settings(model: keras.Model, again: keras.Model) -> list[str]:
    """What differs between ``model`` and the one that was made ``again`` from its description, a text each."""
    parts, others = list(parts_of(model)), list(parts_of(again))
    if len(parts) != len(others):
        return [f"it has {len(parts)} layers, weights and losses, and then {len(others)}"]
    pairs = zip(parts, others, strict=True)
    return [lost for (name, one), (_, other) in pairs for lost in differences(name, one, other)]


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
        if before.get(key) != after.get(key) and not is_note(one, other, key):
            yield f"{key.lstrip('_')} of {name}: {before.get(key)} → {after.get(key)}"


def is_note(one: object, other: object, key: str) -> bool:
    """Whether somebody wrote it on an object of Keras' own, which looks at no such attribute."""
    if not is_keras(one) or key.startswith("_") or key not in vars(one) or key in vars(other):
        return False
    return not hasattr(type(one), key)  # else it stands in the place of a method


def is_keras(one: object) -> bool:
    return type(one).__module__.partition(".")[0] == "keras"


def settings_of(one: object, within: tuple[int, ...] = ()) -> dict[str, str]:
    """By their names, those attributes of a part that can be told in words; of a plain value itself.

    ``within``: the objects that hold it, by their identities.
    """
    if isinstance(one, keras.Variable):
        held = {key: getattr(one, key) for key in ("trainable", "regularizer", "constraint", "dtype")}
    elif isinstance(one, (*PLAIN, types.FunctionType)):
        held = {"value": one}
    else:
        held = {"class": type(one), **getattr(one, "__dict__", {})}
    if isinstance(one, keras.layers.Layer) and (not one.weights or len(list(one._flatten_layers())) > 1):
        held.pop("_trainable", None)  # it says nothing beyond what its weights and layers say
    found = {}
    for key, value in held.items():
        if key not in SKIPPED and not key.startswith("_self_"):
            try:
                found[key] = in_words(value, (*within, id(one)))
            except NotASettingError:
                continue
    return {key: words for key, words in found.items() if words not in EMPTY}  # lists before and after


def in_words(value: object, within: tuple[int, ...] = ()) -> str:
    """What a value is. Raises NotASettingError for what is compared as a part of its own."""
    if isinstance(value, PARTS) or id(value) in within:
        raise NotASettingError
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(float(value)) if abs(value) < 2**53 else repr(value)
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, np.ndarray | tf.Tensor | tf.Variable):
        return array_in_words(np.asarray(value))
    if isinstance(value, re.Pattern):
        return repr(value.pattern)
    within = (*within, id(value))
    if isinstance(value, types.FunctionType):
        bound = [cell.cell_contents for cell in value.__closure__ or ()] + list(value.__defaults__ or ())
        return f"{value.__module__}.{value.__qualname__}{told(bound, within)}"
    if isinstance(value, types.BuiltinFunctionType | type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, types.MethodType):
        raise NotASettingError  # of an object that is looked at where it is held
    if isinstance(value, set | frozenset):
        if all(isinstance(one, int) and one > 2**32 for one in value):
            return f"{len(value)} of them"  # identities of objects
        names = [COUNTED.sub("", one) if isinstance(one, str) else one for one in value]
        return told(sorted(names, key=repr), within)
    if isinstance(value, list | tuple):
        return told(value, within)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{in_words(key, within)}: {in_words(item, within)}' for key, item in value.items())}}}"
    if type(value).__module__.partition(".")[0] in ("keras", "tensorflow", "_thread") and not isinstance(value, HELD):
        raise NotASettingError  # what these keep track with
    shown = ", ".join(f"{key}={words}" for key, words in settings_of(value, within).items() if key != "class")
    return f"{type(value).__name__}({shown})"


def told(values: Iterable[object], within: tuple[int, ...]) -> str:
    """Those of several values that can be told."""
    words = []
    for value in values:
        with contextlib.suppress(NotASettingError):
            words.append(in_words(value, within))
    return f"({', '.join(words)})"


def array_in_words(array: np.ndarray) -> str:
    if array.size <= FEW and array.dtype.kind in "uif":
        return in_words(array.tolist())
    return f"array {array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()[:12]}"
