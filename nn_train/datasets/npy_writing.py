"""``.npy`` files that are written some rows after the other, for more rows than memory holds."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from nn_train.errors import RequestError


@dataclass
class NpyFiles:
    """The ``.npy`` files of a part, written from their beginning to their end.

    Attributes:
        folder: they are in.
        names: of the arrays.
        count: of the rows.
        stack: closes them.
        files, shape: by the name those that are open, and the shape of one example, once there are rows.
    """

    folder: Path
    names: Sequence[str]
    count: int
    stack: contextlib.ExitStack
    files: dict[str, IO[bytes]] = field(default_factory=dict)
    shape: tuple[int, ...] = ()

    def add(self, found: Sequence[NDArray[Any]], path: str, group: int) -> None:
        """Write some rows of all arrays. RequestError where their shape is another, or there is no room for all."""
        arrays = dict(zip(self.names, found, strict=False))
        if not self.files:
            self.begin(arrays)
            self.shape = found[0].shape[1:]
        if found[0].shape[1:] != self.shape:
            raise RequestError(
                f"data.source: {path}: row group {group}, column x has lists of shape {found[0].shape[1:]}, those "
                f"before it {self.shape}; expected the same in all rows"
            )
        for name, array in arrays.items():
            self.files[name].write(np.ascontiguousarray(array).data)

    def begin(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Write the heads of the files."""
        refuse_no_room(self.folder, sum(self.count * array[0].nbytes for array in arrays.values()))
        for name, array in arrays.items():
            self.files[name] = self.stack.enter_context(open(self.folder / f"{name}.npy", "wb"))  # noqa: SIM115
            shape = (self.count, *array.shape[1:])
            head = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(self.files[name], head)

    def sync(self) -> None:
        """All is on the disk."""
        for file in self.files.values():
            file.flush()
            os.fsync(file.fileno())


def refuse_no_room(folder: Path, needed: int) -> None:
    """RequestError where a folder has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RequestError(
            f"data.source: {folder.parent} has no room for the rows of the Parquet files: {needed} bytes are needed, "
            f"{free} free; make room, or set XDG_CACHE_HOME to another disk"
        )
