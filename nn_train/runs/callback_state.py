"""What callbacks remember from epoch to epoch: what they say, or their plain attributes that training has changed.

A callback of the user's that has ``get_state()`` and ``set_state(state)`` says itself what it remembers. Keras' own
cannot be asked. But what EarlyStopping, ReduceLROnPlateau and the like know of the epochs before (the best value,
epochs waited, the best weights) stands in attributes of plain values. What a callback was made with stays out: it
comes from the user's code, which may have changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nn_train.errors import RequestError

Memory = dict[str, Any]  # packed values by attribute
PLAIN = (bool, int, float, str)
STATE = "get_state()"  # the key of what a callback says itself; no attribute can have this name


class NotPlainError(Exception):
    """A value that is no combination of numbers, texts, arrays, lists, tuples and dicts."""


def says_its_state(callback: object) -> bool:
    return all(callable(getattr(callback, name, None)) for name in ("get_state", "set_state"))


def said_state(callback: Any) -> Memory:
    """What ``get_state()`` of a callback returns, packed.

    Raises:
        RequestError: it returns what no checkpoint can hold.
    """
    try:
        return {STATE: pack(callback.get_state())}
    except NotPlainError as error:
        raise RequestError(
            f"train.callbacks: get_state() of {type(callback).__name__} must return numbers, texts, arrays, or lists, "
            "tuples and dicts of these"
        ) from error


def changed(attributes: Mapping[str, Any], before: Mapping[str, bytes]) -> Memory:
    """The attributes with plain values, packed, whose fingerprint is another than before."""
    now = fingerprints(attributes)
    return {name: pack(attributes[name]) for name in now if now[name] != before.get(name)}


def fingerprints(attributes: Mapping[str, Any]) -> dict[str, bytes]:
    """A digest of every attribute with a plain value: callbacks may hold whole data sets, which are not copied."""
    found = {}
    for name, value in attributes.items():
        with contextlib.suppress(NotPlainError):
            arrays: list[np.ndarray] = []
            digest = hashlib.sha256(json.dumps(to_json({name: pack(value)}, arrays)).encode())
            for array in arrays:
                digest.update(f"{array.dtype} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
            found[name] = digest.digest()
    return found


def pack(value: Any) -> Any:
    """None, a number, a text or an array as it is, not copied; all else as ``[kind, items]``. NotPlainError."""
    if value is None or type(value) in PLAIN:
        return value
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufc":
        return np.asarray(value)
    if type(value) in (list, tuple):
        return [type(value).__name__, [pack(item) for item in value]]
    if type(value) is dict:
        return ["dict", [[pack(key), pack(item)] for key, item in value.items()]]
    raise NotPlainError


def unpack(packed: object) -> Any:
    """What was packed. NumPy's scalars come back as such, not as arrays of no dimension."""
    if isinstance(packed, np.ndarray):
        return packed.copy() if packed.ndim else packed[()]
    if not isinstance(packed, list):
        return packed
    kind, items = packed
    values = [unpack(item) for item in items] if kind != "dict" else [(unpack(k), unpack(v)) for k, v in items]
    return {"list": list, "tuple": tuple, "dict": dict}[kind](values)


def to_json(memory: Memory, arrays: list[np.ndarray]) -> dict[str, Any]:
    """A memory for JSON: every array is appended to ``arrays``, and in its place is ``{"array": its index}``."""

    def take(packed: object) -> Any:
        if isinstance(packed, np.ndarray):
            arrays.append(packed)
            return {"array": len(arrays) - 1}
        return [take(item) for item in packed] if isinstance(packed, list) else packed

    return {name: take(value) for name, value in memory.items()}


def from_json(content: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> Memory:
    """What ``to_json`` was given. Packed values are never dicts, so that a dict is an array."""

    def put(value: object) -> Any:
        if isinstance(value, dict):
            return arrays[value["array"]]
        return [put(item) for item in value] if isinstance(value, list) else value

    return {name: put(value) for name, value in content.items()}
