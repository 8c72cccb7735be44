"""Examples in TFRecord files, any of which is read when it is asked for."""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.datasets.record_index import FRAME, HEAD, RecordFile, index_of, masked
from nn_train.errors import RequestError, StorageError, TrainingError, first_line, without_operation
from nn_train.storage.retry import patiently


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
        made = {}
        for path in self.paths:
            try:
                about = os.stat(path)
                made[path] = f"{about.st_size} bytes of {about.st_mtime_ns} ns"
            except OSError as error:
                made[path] = first_line(error)
        return made


def read_records(file: RecordFile, numbers: Sequence[int]) -> list[bytes]:
    """The contents of some records of a file, compared with their checksums."""
    where = f"data.source: {file.path}"
    try:
        handle = patiently(lambda: os.open(file.path, os.O_RDONLY | os.O_CLOEXEC))
        try:
            about = os.fstat(handle)
            if (about.st_size, about.st_mtime_ns) != (file.size, file.time):
                raise TrainingError(
                    f"{where} changed since the run began (record {numbers[0]} was to be read); put it back as it was "
                    "and start again, or give another --name"
                )
            return [read_record(handle, file, number) for number in numbers]
        finally:
            os.close(handle)
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
