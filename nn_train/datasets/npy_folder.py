"""A folder of ``.npy`` files, named as the arrays of an ``.npz``, of which rows are read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.config import DataConfig
from nn_train.datasets.arrays import (
    WEIGHTS,
    as_images,
    as_weights,
    check_numbers,
    check_part,
    check_range,
    checked_names,
    names_of,
    with_validation,
)
from nn_train.datasets.examples import SplitData
from nn_train.datasets.npy_file import NpyFile
from nn_train.datasets.rows import IndexedExamples
from nn_train.errors import RequestError, first_line

ARRAYS = tuple(name for part in WEIGHTS for name in names_of(part) if name)
NAMES = "class_names"


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
        weight = as_weights(self.weight.take(index), x, self.weight.path.name, str(self.weight.path))
        return *parts, weight

    def fingerprint(self) -> dict[str, str]:
        files = [file for file in (self.x, self.y, self.weight) if file is not None]
        return {file.path.name: file.fingerprint() for file in files}


def refuse_not_finite(x: NDArray[Any], file: NpyFile, index: NDArray[np.int64]) -> None:
    """RequestError where a number is NaN or infinite as float32; names the row."""
    if x.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        finite = np.isfinite(x.astype(np.float32, copy=False)).reshape(len(x), -1).all(axis=1)
    if not finite.all():
        row = int(index[~finite][0])
        check_numbers(x[~finite][0], f"row {row}", str(file.path), file.field)


def from_folder(folder: str, config: DataConfig, test_only: bool = False) -> SplitData:
    """The examples of a folder with ``x_train.npy``, ``y_train.npy``, ``x_test.npy``, ``y_test.npy``.

    Read are now the heads of the files, the labels and the weights, in pieces.

    Args:
        folder: its path.
        config: of the data.
        test_only: whether nothing but the test examples is needed; these then stand for those of training as well.

    Raises:
        RequestError: a file is missing or does not hold what a classifier can learn from.
    """
    needed = names_of("test")[:2] if test_only else (*names_of("train")[:2], *names_of("test")[:2])
    files = {name: Path(folder) / f"{name}.npy" for name in (needed if test_only else ARRAYS)}
    missing = [name for name in needed if not files[name].is_file()]
    if missing:
        raise RequestError(
            f"data.source: {folder} lacks {', '.join(f'{name}.npy' for name in missing)}; a folder holds "
            f"{', '.join(f'{name}.npy' for name in needed)}"
        )
    arrays = {name: NpyFile(path) for name, path in files.items() if path.is_file()}
    if test_only:
        arrays |= {name.replace("test", "train"): file for name, file in arrays.items()}
        config = dataclasses.replace(config, validation_fraction=0)
    return from_files(arrays, folder, config, read_names(Path(folder) / f"{NAMES}.npy"))


def from_files(arrays: dict[str, NpyFile], source: str, config: DataConfig, names: np.ndarray | None) -> SplitData:
    """``arrays.from_arrays`` for files of which rows are read."""
    given = [part for part in WEIGHTS if f"x_{part}" in arrays or f"y_{part}" in arrays]
    if WEIGHTS["val"] in arrays and "val" not in given:
        raise RequestError(f"data.source: {source}: {WEIGHTS['val']} is given without x_val and y_val")
    parts, classes = {}, 0
    for part in given:
        check_part(arrays, part, source)
        x, y, weight = (arrays.get(name) for name in names_of(part))
        assert x is not None
        assert y is not None
        classes = max(classes, classes_in(y, source))
        parts[part] = IndexedExamples(NpyRows(x, y, weight))
    train, validation = with_validation(parts["train"], parts.get("val"), config)
    named = None if names is None else checked_names(names, classes, source)
    return SplitData(
        train=train,
        validation=validation,
        test=parts["test"],
        divisor=255.0 if arrays["x_train"].dtype == np.uint8 else None,
        num_classes=classes if named is None else len(named),
        class_names=named,
        fingerprint={file: mark for part in parts.values() for file, mark in part.began.items()},
    )


def classes_in(y: NpyFile, source: str) -> int:
    """The largest label plus 1. RequestError where one is negative."""
    most = -1
    for _, labels in y.blocks():
        check_range(labels, y.path.stem, source)
        most = max(most, int(labels.max()))
    return most + 1


def read_names(path: Path) -> np.ndarray | None:
    """The array of a small file; None where there is none. Never unpickles."""
    if not path.is_file():
        return None
    try:
        names: np.ndarray = np.load(path, allow_pickle=False)
        return names
    except (OSError, ValueError) as error:
        raise RequestError(f"data.source: {path} cannot be read: {first_line(error)}") from error
