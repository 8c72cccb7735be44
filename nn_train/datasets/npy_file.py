"""An ``.npy`` file of which single rows are read.

Read and not mapped: a file that became shorter would end the process without a word, mapped pages count
as its memory, and reading ahead brings what nobody asked for.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from nn_train.errors import RequestError, StorageError, TrainingError, first_line
from nn_train.storage.pieces import PiecesFile, mark

HEAD = 2**17  # bytes; that of a long description has less
BLOCK = 2**20  # rows of ``blocks``


class FortranOrderError(RequestError):
    """An array of which no row is in one piece."""


class NpyFile:
    """The array of an ``.npy`` file, by rows. Threads may share it; a copy in another process opens the file anew.

    Args:
        path: or URI, of a file that can be read at any place.
        field: names the file in messages.

    Attributes:
        name: the last part of the path.
        shape, dtype: as the file says.

    Raises:
        RequestError: it cannot be read, is no array of plain numbers, is in Fortran's order, or ends too early.
        StorageError: the service behind a URI does not answer.
    """

    def __init__(self, path: str, field: str = "data.source") -> None:
        self.path, self.field, self.where = path, field, f"{field}: {path}"
        self.name = path.partition("?")[0].rpartition("/")[2]
        try:
            self.file = PiecesFile(path, field)
            head = io.BytesIO(self.file.read(0, HEAD))
        except OSError as error:
            is_wrong = "://" not in path or isinstance(error, FileNotFoundError)
            kind = RequestError if is_wrong else StorageError
            raise kind(f"{self.where} cannot be read: {first_line(error)}") from error
        self.shape, self.dtype = read_header(head, self.where)
        self.offset = head.tell()
        self.row_bytes = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
        held = self.file.size - self.offset
        if self.shape and held < len(self) * self.row_bytes:
            raise RequestError(
                f"{self.where} is damaged: it ends in row {held // self.row_bytes} of {len(self)}; copy it again"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return NpyFile, (self.path, self.field)

    def __len__(self) -> int:
        return int(np.prod(self.shape[:1], dtype=np.int64))  # 1 for a single number

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def fingerprint(self) -> str:
        """Size and time of what the path now names."""
        return mark(self.file.filesystem, self.file.place)

    def take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at ``index`` (int ``[M]``), ``[M, …]``: only these are read, and neighbours at once.

        Raises:
            TrainingError: the file ends before a row.
            StorageError: it cannot be read there.
        """
        if not len(index):
            return np.empty((0, *self.shape[1:]), self.dtype)
        if not 0 <= int(index.min()) <= int(index.max()) < len(self):
            raise IndexError(f"{self.path} has the rows 0 to {len(self) - 1}, asked for {index.min()} to {index.max()}")
        content = np.empty((len(index), self.row_bytes), np.uint8)
        places = np.argsort(index, kind="stable")
        rows = index[places]
        ends = np.flatnonzero(np.diff(rows) != 1) + 1  # what lies together in the file is read together
        runs = zip([0, *ends.tolist()], [*ends.tolist(), len(rows)], strict=True)
        together = [(places[first:last], int(rows[first])) for first, last in runs]
        self.file.for_all(lambda run: self.read(content, *run), together)
        return content.reshape(-1).view(self.dtype).reshape(len(index), *self.shape[1:])

    def read(self, content: NDArray[np.uint8], places: NDArray[np.int64], row: int) -> None:
        """Fill these places of ``content`` (uint8 ``[M, bytes]``) with the rows from ``row`` on."""
        wanted, begin = len(places) * self.row_bytes, self.offset + row * self.row_bytes
        try:
            piece = self.file.read(begin, wanted)
        except OSError as error:
            raise StorageError(f"{self.where} cannot be read from row {row} on: {first_line(error)}") from error
        if len(piece) < wanted:
            raise TrainingError(
                f"{self.where} ends in row {row + len(piece) // self.row_bytes} of {len(self)}: it became shorter "
                "since the run began; put it back as it was and start the same command again"
            )
        content[places] = np.frombuffer(piece, np.uint8).reshape(len(places), self.row_bytes)

    def blocks(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """All rows, in parts of ``BLOCK``, each with the number of its first."""
        for first in range(0, len(self), BLOCK):
            yield first, self.take(np.arange(first, min(first + BLOCK, len(self))))


def read_header(head: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of the array of an open ``.npy``, whose header is then behind."""
    try:
        version = npy.read_magic(head)
        reader = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, is_fortran, dtype = reader(head)
    except KeyError:
        raise RequestError(f"{where} has a format that is not known; save it again with numpy.save") from None
    except Exception as error:  # of whatever reads the description, which is a Python literal
        raise RequestError(f"{where} is no .npy file, or its head is damaged: {first_line(error)}") from error
    if any(size < 0 for size in shape):
        raise RequestError(f"{where}: its head is damaged: the shape is {tuple(shape)}")
    if dtype.hasobject:
        raise RequestError(f"{where} holds Python objects (pickles), which are never loaded; save plain numbers")
    if is_fortran and len(shape) > 1:
        raise FortranOrderError(
            f"{where} lies in Fortran's order, in which no row is in one piece; save numpy.ascontiguousarray(x)"
        )
    return tuple(shape), dtype
