"""A config from what a call in Python was given: names, functions, arrays, models, callbacks."""

from __future__ import annotations

import copy
import hashlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from nn_train.config import Config, RunConfig, config_from_dict, config_to_dict
from nn_train.config.entry_points import name_of
from nn_train.config.parse import STAGES, TOP_FIELDS, coerce, load_yaml, unknown_field
from nn_train.config.schema import SECTIONS
from nn_train.datasets.arrays import names_of
from nn_train.datasets.sources import MORE_KEYS, NAMES, NPZ_KEYS, are_names, named_parts
from nn_train.errors import RequestError
from nn_train.evaluation.storage import npz_bytes
from nn_train.storage.folder import ResultsFolder

RUN = RunConfig()
GIVEN = "given"  # the folder for arrays, beside the runs
# A section of which one field is the whole: ``model=build`` is ``model={"name": build}``.
MAIN = {"model": "name", "data": "source", "optimizer": "name"}
# Where a config has the name of a function.
NAMED = (("model", "name"), ("data", "source"), ("data", "augment"), ("train", "callbacks"), ("search", "algorithm"))
WANTED = {
    "name": "is neither a name nor a function that builds one, or a keras.Model",
    "source": "cannot be taken; give a name, a path, a function, ((x_train, y_train), (x_test, y_test)), or a mapping "
    "of arrays by the names in an .npz, with whole numbers as labels",
    "callbacks": "is neither a name nor a function or a list of callbacks",
}


class Returns:
    """A function that gives a copy of what was given.

    Its module and name are in the digests by which runs know what they were given: neither is renamed.
    """

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
        if name not in (*TOP_FIELDS, *SECTIONS):
            raise RequestError(unknown_field(name, [*TOP_FIELDS, *SECTIONS]))
        nested[name] = merged(nested.get(name) or {}, section_of(name, value)) if name in SECTIONS else value
    files: dict[str, bytes] = {}
    storage = coerce("run.storage_path", (nested.get("run") or {}).get("storage_path", RUN.storage_path), str)
    for name, field in NAMED:
        given = (nested.get(name) or {}).get(field)
        if given is not None and not isinstance(given, str):
            nested[name] = {**nested[name], field: named(name, field, given, storage, files)}
    made = config_from_dict(nested)
    folder = ResultsFolder(storage, GIVEN)
    for file, content in files.items():  # once all is checked
        if not folder.exists(file):
            folder.write(file, content)
    return made


def merged(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a section; arguments one by one, as the command line takes them."""
    fields = {**before, **now}
    if isinstance(now.get("args"), Mapping):
        fields["args"] = {**(before.get("args") or {}), **now["args"]}
    return fields


def nested_of(config: object) -> dict[str, Any]:
    if config is None:
        return {}
    if isinstance(config, Config):
        return config_to_dict(config, stages=STAGES)
    if isinstance(config, str | os.PathLike):
        return dict(load_yaml(os.fspath(config)))
    if isinstance(config, Mapping):
        given = {str(name): value for name, value in config.items()}
        return {name: section_of(name, value) if name in SECTIONS else value for name, value in given.items()}
    raise RequestError(
        f"config: {type(config).__name__} is none; give a Config, a job file, a preset's name or a mapping"
    )


def section_of(name: str, value: object) -> dict[str, Any]:
    """The fields of a section."""
    if value is None:
        return {}
    if isinstance(value, Mapping) and not (name == "data" and NPZ_KEYS[0] in value):
        return {str(field): plain(one) for field, one in value.items()}
    if name in MAIN:
        return {MAIN[name]: value}
    raise RequestError(f"{name}: expected fields such as {{'epochs': 3}}, got {type(value).__name__}")


def plain(value: object) -> Any:
    """Numbers of NumPy as Python's, paths as texts, also in lists and mappings."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list) and all(isinstance(one, np.generic | os.PathLike) for one in value):
        return [plain(one) for one in value]
    return value


def named(section: str, field: str, value: object, storage: str, files: dict[str, bytes]) -> str:
    """The name by which a config has ``value``, which is none. What is to be written beside the runs goes to ``files``.

    Arrays of classes are written, so that any process can evaluate them; all else is kept in this process.
    """
    if isinstance(value, os.PathLike) and section == "data":
        return os.fspath(value)
    keras = sys.modules.get("keras")  # who has a model has imported it
    if section == "model" and keras is not None and isinstance(value, keras.Model):
        from nn_train.runs.given_model import GivenModel

        return name_of(GivenModel(value), "model")
    if callable(value):
        return name_of(value, section)
    arrays = as_arrays(value) if field == "source" else None
    if arrays is not None:
        content = npz_bytes(arrays)
        file = f"{hashlib.sha256(content).hexdigest()[:16]}.npz"
        files[file] = content
        return ResultsFolder(storage, GIVEN).path(file)
    if field in ("source", "callbacks") and isinstance(value, list | tuple):
        role, kept_value = ("data", value) if field == "source" else ("callbacks", list(value))
        return name_of(Returns(kept_value), role)
    raise RequestError(f"{section}: {type(value).__name__} {WANTED.get(field, 'is neither a name nor a function')}")


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
    for name, array in arrays.items():
        if array.dtype.kind == "O":
            raise RequestError(f"data: {name} holds Python objects; give numbers, such as table.to_numpy('float32')")
    classes = all(arrays[name].dtype.kind in "ui" for name in arrays if name.startswith("y_"))
    return arrays if len(arrays) == len(given) and classes else None


def source_of(data: object) -> str:
    """The name of new examples: as it is, of a function, or of what gives the arrays."""
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    return name_of(data if callable(data) else Returns(data), "new_examples")
