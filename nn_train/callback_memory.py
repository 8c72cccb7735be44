"""What callbacks remember from epoch to epoch: their attributes with plain values that training has changed.

Keras' callbacks cannot be asked for their state. But what EarlyStopping, ReduceLROnPlateau and the like know of the
epochs before (the best value, epochs waited, the best weights) stands in attributes of plain values. What a callback
was made with stays out: it comes from the user's code, which may have changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Memory = dict[str, Any]  # packed values by attribute
PLAIN = (bool, int, float, str)


class NotPlainError(Exception):
    """A value that is no combination of numbers, texts, arrays, lists, tuples and dicts."""


def changed(attributes: Mapping[str, Any], before: Memory) -> Memory:
    """The attributes with plain values, packed, that differ from those packed before."""
    packed = pack_all(attributes)
    return {name: value for name, value in packed.items() if name not in before or not same(value, before[name])}


def pack_all(attributes: Mapping[str, Any]) -> Memory:
    """Every attribute with a plain value, packed: a copy that later changes do not reach."""
    packed = {}
    for name, value in attributes.items():
        try:
            packed[name] = pack(value)
        except NotPlainError:
            continue
    return packed


def pack(value: Any) -> Any:
    """None, a number, a text or an array as it is; everything else as ``[kind, items]``. NotPlainError."""
    if value is None or type(value) in PLAIN:
        return value
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufc":
        return np.array(value)
    if type(value) in (list, tuple):
        return [type(value).__name__, [pack(item) for item in value]]
    if type(value) is dict:
        return ["dict", [[pack(key), pack(item)] for key, item in value.items()]]
    raise NotPlainError


def unpack(packed: Any) -> Any:
    """What was packed. NumPy's scalars come back as such, not as arrays of no dimension."""
    if isinstance(packed, np.ndarray):
        return packed.copy() if packed.ndim else packed[()]
    if not isinstance(packed, list):
        return packed
    kind, items = packed
    values = [unpack(item) for item in items] if kind != "dict" else [(unpack(k), unpack(v)) for k, v in items]
    return {"list": list, "tuple": tuple, "dict": dict}[kind](values)


def same(one: Any, other: Any) -> bool:
    """Whether two packed values are equal; NaN equals NaN."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


def to_json(memory: Memory, arrays: list[np.ndarray]) -> dict[str, Any]:
    """The same with every array appended to ``arrays`` and in its place ``{"array": its index}``."""

    def take(packed: Any) -> Any:
        if isinstance(packed, np.ndarray):
            arrays.append(packed)
            return {"array": len(arrays) - 1}
        return [take(item) for item in packed] if isinstance(packed, list) else packed

    return {name: take(value) for name, value in memory.items()}


def from_json(content: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> Memory:
    """What ``to_json`` was given. Packed values are never dicts, so that a dict is an array."""

    def put(value: Any) -> Any:
        if isinstance(value, dict):
            return arrays[value["array"]]
        return [put(item) for item in value] if isinstance(value, list) else value

    return {name: put(value) for name, value in content.items()}
