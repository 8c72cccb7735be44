"""A config from what a call in Python was given: names, functions, arrays, models, callbacks."""

from __future__ import annotations

import copy
import hashlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from nn_train.config import Config, config_from_dict, config_to_dict
from nn_train.config.given import keep, name_of
from nn_train.config.parse import STAGES, TOP_FIELDS, load_yaml, unknown_field
from nn_train.config.schema import SECTIONS, default_name
from nn_train.datasets.arrays import names_of
from nn_train.datasets.sources import MORE_KEYS, NAMES, NPZ_KEYS, are_names, named_parts
from nn_train.errors import RequestError
from nn_train.evaluation.storage import npz_bytes
from nn_train.storage.folder import ResultsFolder

GIVEN = "given"  # the folder for arrays, beside the runs
# A section of which one field is the whole: ``model=build`` is ``model={"name": build}``.
MAIN = {"model": "name", "data": "source", "optimizer": "name"}
# Where a config has the name of a function.
NAMED = {"model": "name", "data": "source", "train": "callbacks", "search": "algorithm"}


class Returns:
    """A function that gives a copy of what was given."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __call__(self) -> Any:
        return copy.deepcopy(self.value)


def config_of(config: object, sections: Mapping[str, Any]) -> Config:
    """The config of a job.

    Args:
        config: a ``Config``; the path of a job file or the name of a preset; a mapping as such a file has it; or None.
        sections: what differs from it, each a mapping of fields or, of ``model`` and ``data``, what is meant itself.

    Raises:
        RequestError: as for a job file; or something else than what is named here was given.
    """
    if isinstance(config, Config) and not sections:
        return config
    nested = nested_of(config)
    for name, value in sections.items():
        if name in TOP_FIELDS:
            nested[name] = value
        elif name not in SECTIONS:
            raise RequestError(unknown_field(name, [*TOP_FIELDS, *SECTIONS]))
        else:
            nested[name] = {**(nested.get(name) or {}), **section_of(name, value)}
    for name, field in NAMED.items():
        section = nested.get(name)
        if isinstance(section, Mapping) and field in section and not isinstance(section[field], str | None):
            nested[name] = {**section, field: named(name, section[field], nested)}
    return config_from_dict(nested)


def nested_of(config: object) -> dict[str, Any]:
    if config is None:
        return {}
    if isinstance(config, Config):
        return config_to_dict(config, stages=STAGES)
    if isinstance(config, str | os.PathLike):
        return dict(load_yaml(os.fspath(config)))
    if isinstance(config, Mapping):
        return {str(name): dict(value) if isinstance(value, Mapping) else value for name, value in config.items()}
    raise RequestError(
        f"config: {type(config).__name__} is none; give a Config, a job file, a preset's name or a mapping"
    )


def section_of(name: str, value: object) -> dict[str, Any]:
    """The fields of a section."""
    if isinstance(value, Mapping) and not (name == "data" and NPZ_KEYS[0] in value):
        return dict(value)
    if name in MAIN:
        return {MAIN[name]: value}
    raise RequestError(f"{name}: expected fields such as {{'epochs': 3}}, got {type(value).__name__}")


def named(section: str, value: object, nested: dict[str, Any]) -> str:
    """The name by which a config has ``value``, which is none."""
    if section == "data" and isinstance(value, os.PathLike):
        return os.fspath(value)
    keras = sys.modules.get("keras")  # who has a model has imported it
    if section == "model" and keras is not None and isinstance(value, keras.Model):
        from nn_train.runs.given_model import GivenModel

        return name_of(GivenModel(value), value.name)
    if callable(value):
        return name_of(value)
    if section == "data":
        return named_data(value, nested)
    if section == "train" and isinstance(value, list | tuple):
        return keep("callbacks", Returns(list(value)))
    wanted = {"model": "a function that builds one, or a keras.Model", "train": "a function or a list of callbacks"}
    wanted["search"] = "a function that gives a sampler of Optuna"
    raise RequestError(f"{section}: {type(value).__name__} is neither a name nor {wanted[section]}")


def named_data(value: object, nested: dict[str, Any]) -> str:
    """Arrays of classes are written beside the runs, so that any process can evaluate them; all else is kept here."""
    arrays = as_arrays(value)
    if arrays is None:
        if not isinstance(value, tuple | list):
            raise RequestError(
                f"data: {type(value).__name__} is none; give a name, a path, a function, or ((x_train, y_train), "
                "(x_test, y_test))"
            )
        return keep("data", Returns(value))
    content, run = npz_bytes(arrays), nested.get("run") or {}
    folder = ResultsFolder(run.get("storage_path") or Config().run.storage_path, GIVEN)
    file = f"{hashlib.sha256(content).hexdigest()[:16]}.npz"
    if not folder.exists(file):
        folder.write(file, content)
    if nested.get("name") is None:
        model = (nested.get("model") or {}).get("name")
        model = model if isinstance(model, str) else Config().model.name
        nested["name"] = default_name("arrays", model)
    return folder.path(file)


def as_arrays(value: object) -> dict[str, np.ndarray] | None:
    """The arrays of an ``.npz`` in Keras' layout; None for structures, targets that are no classes, and datasets."""
    if isinstance(value, Mapping):
        given: dict[str, Any] = dict(value)
    else:
        parts = tuple(value) if isinstance(value, tuple | list) else ()
        given = {NAMES: np.array(parts[-1])} if parts and are_names(parts[-1]) else {}
        for part, trees in named_parts(parts[:-1] if given else parts).items():
            given |= dict(zip(names_of(part), trees, strict=False))
    if not set(NPZ_KEYS) <= set(given) or not set(given) <= {*NPZ_KEYS, *MORE_KEYS}:
        return None
    arrays = {name: np.asarray(tree) for name, tree in given.items() if hasattr(tree, "__array__")}
    classes = all(arrays[name].dtype.kind in "ui" for name in arrays if name.startswith("y_"))
    return arrays if len(arrays) == len(given) and classes else None


def source_of(data: object) -> str:
    """The name of new examples: as it is, of a function, or of what gives the arrays."""
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    return name_of(data) if callable(data) else keep("new_examples", Returns(data))
