"""Examples in TFRecord files, any of which is read when it is asked for.

A record is its length (8 bytes, little-endian), the length's checksum (4), its content, and the content's checksum (4).
Where each begins is found once, by the lengths alone, and kept beside the file.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray
from pyarrow.fs import LocalFileSystem

from nn_train.errors import RequestError, StorageError, TrainingError, first_line, without_operation
from nn_train.storage.atomic import user_cache, whole_file
from nn_train.storage.pieces import mark
from nn_train.storage.retry import patiently

HEAD, FRAME = 12, 16  # bytes in front of a content, and in front and behind


class TfRecords:
    """The records of TFRecord files by their numbers, for a function of one's own that ``data.source`` names.

    The first use of a file reads the length of each record, and keeps where they begin in a folder ``.nn_train`` beside
    it (8 bytes a record), or in the user's cache where that is read-only.

    Args:
        files: a pattern such as ``/data/train-*.tfrecord``, whose files come in the order of their names; or paths.
        parse: what ``tf.data.TFRecordDataset(files).map(parse)`` would take: from a record, a string tensor, it makes
            ``(x, y)`` or ``(x, y, sample_weight)`` of tensors, of the same shapes for all records. It must not draw
            random numbers.

    Raises:
        RequestError: there is no such file, or one is damaged; names file and record.
    """

    def __init__(self, files: str | os.PathLike[str] | Sequence[str], parse: Callable[[Any], Any]) -> None:
        paths = sorted(glob.glob(os.fspath(files))) if isinstance(files, str | os.PathLike) else list(files)
        if not paths:
            raise RequestError(f"data.source: there is no file {files}")
        self.paths, self.parse = paths, parse
        self.files: list[RecordFile] = [index_of(path) for path in paths]
        self.ends = np.cumsum([len(file) for file in self.files])

    def __reduce__(self) -> tuple[Any, ...]:
        return TfRecords, (self.paths, self.parse)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        """One example, of arrays."""
        import tensorflow as tf

        parts: tuple[Any, ...] = tf.nest.map_structure(lambda array: array[0], self.read([row]))
        return parts

    def read(self, index: Sequence[int]) -> tuple[Any, ...]:
        """The examples at ``index``: ``(x, y)`` or ``(x, y, sample_weight)`` of arrays ``[M, …]``. Threads may call it.

        Raises:
            RequestError: a record is damaged, cannot be parsed, or is not like the first; names file and record.
            TrainingError: a file is gone, or is not what it was.
            StorageError: it cannot be read, although that was tried again.
        """
        import tensorflow as tf

        records = self.records(np.asarray(index, np.int64))
        try:
            parsed = self.parse_all(tf.constant(records, tf.string, [len(records)]))
        except tf.errors.OpError:  # which of them it was, TensorFlow does not tell
            for row, record in zip(index, records, strict=True):
                self.refuse_unlike(row, record)
            raise
        arrays: tuple[Any, ...] = tf.nest.map_structure(np.asarray, parsed)
        return arrays

    @functools.cached_property
    def parse_all(self) -> Callable[[Any], Any]:
        """``parse`` for string tensors ``[M]``, as one graph, which needs Python once and not M times."""
        import tensorflow as tf

        one = tf.function(self.parse, input_signature=[tf.TensorSpec([], tf.string)])
        like = one.get_concrete_function().structured_outputs
        if not isinstance(like, tuple | list) or len(like) not in (2, 3):
            raise RequestError(
                f"data.source: {self.paths[0]}: parse gives {type(like).__name__}; expected (x, y) or (x, y, "
                "sample_weight)"
            )

        signature = tf.nest.map_structure(tf.TensorSpec.from_tensor, tuple(like))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def parse_all(records: Any) -> Any:
            with tf.device("CPU:0"):
                return tf.map_fn(
                    lambda record: tuple(one(record)), records, fn_output_signature=signature, parallel_iterations=1
                )

        return parse_all

    def records(self, index: NDArray[np.int64]) -> list[bytes]:
        """The contents of the records at ``index``; each file is opened once."""
        files = np.searchsorted(self.ends, index, side="right")
        numbers = index - np.concatenate([[0], self.ends])[files]
        contents = [b""] * len(index)
        for which in np.unique(files).tolist():
            places = np.flatnonzero(files == which)
            found = read_records(self.files[which], numbers[places].tolist())
            for place, content in zip(places.tolist(), found, strict=True):
                contents[place] = content
        return contents

    def refuse_unlike(self, row: int, record: bytes) -> None:
        """RequestError where a record cannot be parsed, or has other shapes than the first."""
        import tensorflow as tf

        which = int(np.searchsorted(self.ends, row, side="right"))
        number = row - int(self.ends[which]) + len(self.files[which])
        where = f"data.source: {self.paths[which]}, record {number}"
        try:
            found, first = (self.parse_all(tf.constant([one])) for one in (record, self.records(np.zeros(1, int))[0]))
        except tf.errors.OpError as error:
            raise RequestError(f"{where}: cannot be parsed: {without_operation(error.message)}") from error
        shapes = [[list(leaf.shape[1:]) for leaf in tf.nest.flatten(parts)] for parts in (found, first)]
        if shapes[0] != shapes[1]:
            raise RequestError(f"{where}: has the shapes {shapes[0]}, the first record {shapes[1]}; all must be alike")

    def fingerprint(self) -> dict[str, str]:
        """Size and time of each file as it is now."""
        return {path: mark(LocalFileSystem(), os.fspath(path)) for path in self.paths}


def read_records(file: RecordFile, numbers: Sequence[int]) -> list[bytes]:
    """The contents of some records of a file, compared with their checksums."""
    where = f"data.source: {file.path}"
    try:
        with patiently(lambda: open(file.path, "rb")) as opened:
            about = os.fstat(opened.fileno())
            if (about.st_size, about.st_mtime_ns) != (file.size, file.time):
                raise TrainingError(
                    f"{where} changed since the run began (record {numbers[0]} was to be read); put it back as it was "
                    "and start again, or give another --name"
                )
            return [read_record(opened.fileno(), file, number) for number in numbers]
    except FileNotFoundError as error:
        raise TrainingError(
            f"{where} is gone since the run began (record {numbers[0]} was to be read); put it back and start again"
        ) from error
    except OSError as error:
        raise StorageError(f"{where} cannot be read: {first_line(error)}") from error


def read_record(handle: int, file: RecordFile, number: int) -> bytes:
    start, stop = file.starts[number : number + 2].tolist()
    framed = patiently(lambda: os.pread(handle, stop - start, start))
    content, checksum = framed[HEAD:-4], int.from_bytes(framed[-4:], "little")
    if len(framed) != stop - start or len(content) != stop - start - FRAME or masked(content) != checksum:
        raise RequestError(
            f"data.source: {file.path}, record {number}: is damaged: its content is not that of its checksum; copy the "
            "file again"
        )
    return content


@dataclass(frozen=True)
class RecordFile:
    """A file whose records can be read by their numbers.

    Attributes:
        path: of it.
        size, time: in bytes, and when it was last changed, in ns.
        starts: where the records begin and, as one more, the last ends: int64 ``[N + 1]``.
    """

    path: str
    size: int
    time: int
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1


def index_of(path: str) -> RecordFile:
    """The index of a file, from where it was kept, or made now and kept if there is room.

    Raises:
        RequestError: the file cannot be read, has no record, is cut short or damaged; names the record.
    """
    try:
        about = os.stat(path)
        for place in places(path):
            if (starts := kept(place, about)) is not None:
                return RecordFile(path, about.st_size, about.st_mtime_ns, starts)
        starts = scan(path, about.st_size)
    except OSError as error:
        raise RequestError(f"data.source: {path} cannot be read: {first_line(error)}") from error
    for place in places(path):
        if keep(place, np.concatenate([[about.st_size, about.st_mtime_ns], starts])):
            break
    return RecordFile(path, about.st_size, about.st_mtime_ns, starts)


def places(path: str) -> Iterator[Path]:
    """Where an index may be kept: in a folder beside the file, or where that is read-only, the user's cache."""
    whole = Path(path).absolute()
    yield whole.parent / ".nn_train" / f"{whole.name}.npy"
    yield user_cache() / f"{hashlib.sha256(os.fsencode(whole)).hexdigest()}.npy"


def kept(place: Path, about: os.stat_result) -> NDArray[np.int64] | None:
    """The index that is there, if it is of the file as it is now."""
    try:
        found = np.load(place, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    is_its = found.dtype == np.int64 and found.ndim == 1 and len(found) > 3
    return found[2:] if is_its and found[[0, 1, -1]].tolist() == [about.st_size, about.st_mtime_ns, found[0]] else None


def keep(place: Path, index: NDArray[np.int64]) -> bool:
    """Write an index, whole or not at all; whether that could be done."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(place) as file:
            np.save(file, index)
    except OSError:
        return False
    return True


def scan(path: str, size: int) -> NDArray[np.int64]:
    """Where the records begin, and the end. Reads 12 bytes of each. RequestError where one is damaged or cut short."""
    heads, starts = bytearray(), [0]
    with open(path, "rb") as file:
        while starts[-1] < size:
            head = os.pread(file.fileno(), HEAD, starts[-1]).ljust(HEAD, b"\0")
            heads += head
            starts.append(starts[-1] + FRAME + int.from_bytes(head[:8], "little"))
    if len(starts) == 1:
        raise RequestError(f"data.source: {path} has no record")
    rows = np.frombuffer(heads, np.uint8).reshape(-1, HEAD)
    checksums = np.array([masked(bytes(heads[at : at + 8])) for at in range(0, len(heads), HEAD)])
    right = checksums == rows[:, 8:].copy().view("<u4").reshape(-1)
    if not right.all():
        first = int(np.flatnonzero(~right)[0])
        raise RequestError(
            f"data.source: {path}, record {first}: its length is damaged, or the file cut short there; copy it again"
            + ("; or this is no TFRecord file, or a compressed one, whose records cannot be read alone" * (not first))
        )
    if starts[-1] != size:
        raise RequestError(
            f"data.source: {path}, record {len(rows) - 1}: is cut short: it ends at byte {starts[-1]}, the file at "
            f"{size}; copy it again"
        )
    return np.array(starts)


def masked(content: bytes) -> int:
    """The checksum of a content as TFRecord files hold it: CRC-32C, turned by 15 bits, plus a constant."""
    checksum: int = google_crc32c.value(content)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
