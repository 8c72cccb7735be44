"""Which columns of a Parquet file are examples, labels and weights."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from nn_train.errors import RequestError

INPUT, LABELS, WEIGHT = "x", ("y", "label"), "sample_weight"
INDEX = "__index_level_"  # how the names begin that pandas gives to its index


def columns_of(schema: pa.Schema, path: str) -> dict[str, Any]:
    """Which columns are the examples and the labels. RequestError where there are none, or two of a name."""
    names = [name for name in schema.names if not name.startswith(INDEX)]
    labels = [name for name in names if name in LABELS]
    if len(labels) != 1 or len(set(names)) < len(names):
        raise RequestError(
            f"data.source: {path} has the columns {', '.join(names)}; expected one of {' and '.join(LABELS)}, and no "
            "name twice"
        )
    if not pa.types.is_integer(schema.field(labels[0]).type):
        raise RequestError(
            f"data.source: {path}: column {labels[0]} has type {schema.field(labels[0]).type}; expected whole numbers "
            "from 0: write the numbers of the classes, also in place of their names"
        )
    inputs = [INPUT] if INPUT in names else [name for name in names if name not in (*labels, WEIGHT)]
    if not inputs:
        raise RequestError(f"data.source: {path} has no column but {', '.join(names)}; expected x, or features")
    for name in (*inputs, *([WEIGHT] if WEIGHT in names else [])):
        depth, kind = unwrapped(schema.field(name).type)
        if not is_number(kind) or (depth > 0) != (name == INPUT):
            raise RequestError(
                f"data.source: {path}: column {name} has type {schema.field(name).type}; expected "
                + ("lists of numbers" if name == INPUT else "numbers: convert it or leave it out")
            )
    return {"x": inputs, "y": labels[0], "type": str(unwrapped(schema.field(INPUT).type)[1]) if INPUT in names else ""}


def is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def unwrapped(kind: pa.DataType) -> tuple[int, Any]:
    """How many lists are in each other, and the type of what is in them."""
    depth = 0
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        depth, kind = depth + 1, kind.value_type
    return depth, kind
