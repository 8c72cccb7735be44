"""A folder of ``.npy`` files, named as the arrays of an ``.npz``, of which rows are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.config import DataConfig
from nn_train.datasets.arrays import (
    WEIGHTS,
    as_images,
    as_weights,
    check_numbers,
    check_range,
    checked_parts,
    divisor_of,
    names_of,
    split_data,
)
from nn_train.datasets.examples import IndexedExamples, SplitData
from nn_train.datasets.npy_file import NpyFile
from nn_train.errors import RequestError
from nn_train.storage.folder import ResultsFolder

ARRAYS = tuple(name for part in WEIGHTS for name in names_of(part) if name)
NAMES, SUFFIX = "class_names", ".npy"


@dataclass(frozen=True)
class NpyRows:
    """The examples of one part.

    Attributes:
        x, y, weight: files of the same length.
    """

    x: NpyFile
    y: NpyFile
    weight: NpyFile | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: NDArray[np.int64]) -> tuple[Any, ...]:
        """As an array in memory gives them: bytes with their channel axis, float32, int32 labels."""
        x, y = self.x.take(index), self.y.take(index)
        refuse_not_finite(x, self.x, index)
        parts = as_images(x), y.reshape(-1).astype(np.int32)
        if self.weight is None:
            return parts
        weight = as_weights(self.weight.take(index), x, self.weight.name, self.weight.path)
        return *parts, weight

    def fingerprint(self) -> dict[str, str]:
        files = [file for file in (self.x, self.y, self.weight) if file is not None]
        return {file.name: file.fingerprint() for file in files}


def refuse_not_finite(x: NDArray[Any], file: NpyFile, index: NDArray[np.int64]) -> None:
    """RequestError where a number is NaN or infinite as float32; names the row."""
    if x.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        finite = np.isfinite(x.astype(np.float32, copy=False)).reshape(len(x), -1).all(axis=1)
    if not finite.all():
        row = int(index[~finite][0])
        check_numbers(x[~finite][0], f"row {row}", file.path, file.field)


def from_folder(folder: str, config: DataConfig, test_only: bool = False) -> SplitData:
    """The examples of a folder with ``x_train.npy``, ``y_train.npy``, ``x_test.npy``, ``y_test.npy``.

    Read are now the heads of the files, the labels and the weights, in pieces.

    Args:
        folder: its path or URI.
        config: of the data.
        test_only: whether nothing but the test examples is needed.

    Raises:
        RequestError: a file is missing or does not hold what a classifier can learn from.
    """
    needed = names_of("test")[:2] if test_only else (*names_of("train")[:2], *names_of("test")[:2])
    place = ResultsFolder(folder, field="data.source")
    there = {file for file in place.names("") if file.endswith(SUFFIX)}
    missing = [f"{name}{SUFFIX}" for name in needed if f"{name}{SUFFIX}" not in there]
    if missing:
        expected = ", ".join(f"{name}{SUFFIX}" for name in needed)
        raise RequestError(f"data.source: {folder} lacks {', '.join(missing)}; a folder holds {expected}")
    wanted = [name for name in (needed if test_only else ARRAYS) if f"{name}{SUFFIX}" in there]
    arrays = {name: NpyFile(place.path(f"{name}{SUFFIX}"), "data.source") for name in wanted}
    if f"{NAMES}{SUFFIX}" not in there:
        return from_files(arrays, folder, config, None)
    names = NpyFile(place.path(f"{NAMES}{SUFFIX}"))
    return from_files(arrays, folder, config, names.take(np.arange(len(names))))


def from_files(
    arrays: dict[str, NpyFile],
    source: str,
    config: DataConfig,
    names: np.ndarray | None,
    examples_of: Callable[[str, NpyRows], IndexedExamples] = lambda part, rows: IndexedExamples(rows),
) -> SplitData:
    """``arrays.from_arrays`` for files of which rows are read; ``examples_of`` makes examples of a part's rows."""
    parts, classes = {}, 0
    for part in (given := checked_parts(arrays, source)):
        x, y, weight = (arrays.get(name) for name in names_of(part))
        assert x is not None
        assert y is not None
        classes = max(classes, classes_in(y, source))
        parts[part] = examples_of(part, NpyRows(x, y, weight))
    return split_data(parts, source, config, divisor_of(arrays[f"x_{given[0]}"]), classes, names)


def classes_in(y: NpyFile, source: str) -> int:
    """The largest label plus 1. RequestError where one is negative."""
    most = -1
    for _, labels in y.blocks():
        check_range(labels, y.name.removesuffix(".npy"), source)
        most = max(most, int(labels.max()))
    return most + 1
