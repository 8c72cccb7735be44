"""Examples without labels, to predict with a finished run: read and made ready as those of its training; and the table
of what was predicted, as CSV, Parquet or ``.npz``: the same bytes for any number of workers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.config.entry_points import call_entry_point
from nn_train.config.options import is_entry_point
from nn_train.datasets.arrays import as_images, check_inputs, check_numbers
from nn_train.datasets.examples import digest, leaves, map_leaves
from nn_train.datasets.npy_file import FortranOrderError, NpyFile
from nn_train.datasets.npy_folder import refuse_not_finite
from nn_train.datasets.sources import read_bytes
from nn_train.errors import RequestError
from nn_train.evaluation.storage import npz_bytes
from nn_train.storage.atomic import write_whole

SUFFIXES = (".csv", ".parquet", ".npz")
BYTES = 255.0
SAMPLE = 64  # rows of a file that are compared between workers
NOT_SAID = -1.0  # of a run that does not say by what its bytes were divided


@dataclass(frozen=True)
class NewExamples:
    """What is to be predicted.

    Attributes:
        x: an array ``[N, …]``, or a tuple or dict of them for a model of several inputs; or a file of which rows are
            read.
        ids: what the rows are called in the result, ``[N]``: whole numbers or texts.
    """

    x: Any
    ids: NDArray[Any]

    def blocks(self, rows: int) -> Iterator[slice]:
        """The places of the examples in blocks of so many rows."""
        for start in range(0, len(self.ids), rows):
            yield slice(start, min(start + rows, len(self.ids)))

    def take(self, part: slice) -> Any:
        """The examples of a block."""
        if not isinstance(self.x, NpyFile):
            return map_leaves(self.x, part)
        index = np.arange(part.start, part.stop)
        x = self.x.take(index)
        refuse_not_finite(x, self.x, index)
        return x

    def digest(self) -> str:
        """Of all that is to be predicted; of a file of which rows are read, of some of them."""
        if isinstance(self.x, NpyFile):
            some = self.x.take(np.linspace(0, len(self.x) - 1, SAMPLE).astype(np.int64))
            return f"{self.x.shape} {digest(some)}"
        return " ".join(digest(array) for array in (self.ids, *leaves(self.x)))


def read_new(source: str, inputs: int = 1) -> NewExamples:
    """The examples of ``source``.

    Args:
        source: path or URI of an ``.npy``, or of an ``.npz`` with ``x`` and, if they have names, ``id``; or
            ``module:function`` that returns ``x``, or ``(x, ids)``.

        inputs: how many the model takes. Texts in an array of objects are ids beside one input alone.

    Raises:
        RequestError: it cannot be read, or holds no examples.
    """
    if is_entry_point(source):
        given = call_entry_point("--data", source)
        ids = second_of(given, inputs)
        x = given if ids is None else given[0]
    else:
        x, ids = opened(source) or parse(read_bytes(source, "--data"), source)
    arrays = list(leaves(x))
    if not arrays or not all(isinstance(array, np.ndarray | NpyFile) and array.ndim > 0 for array in arrays):
        raise RequestError(f"--data: {source}: expected an array of examples [N, …], or several in a tuple or dict")
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        raise RequestError(f"--data: {source}: the arrays have unequal lengths: {', '.join(map(str, sorted(lengths)))}")
    if isinstance(x, np.ndarray | NpyFile):
        check_inputs(x, "x", source, "--data")
    if isinstance(x, np.ndarray):
        check_numbers(x, "x", source, "--data")
    count = lengths.pop()
    if count == 0:
        raise RequestError(f"--data: {source}: there are no examples")
    ids = np.arange(count) if ids is None else np.asarray(ids)
    if ids.shape != (count,) or ids.dtype.kind not in "iuU":
        raise RequestError(
            f"--data: {source}: id has shape {ids.shape} and dtype {ids.dtype}; expected a whole number or a text for "
            f"each of {count} examples"
        )
    return NewExamples(x, ids)


def opened(source: str) -> tuple[NpyFile, None] | None:
    """Return an ``.npy`` on a disk, of which each worker reads its rows; None for anything else."""
    if "://" in source or not source.endswith(".npy"):
        return None
    try:
        return NpyFile(source, "--data"), None
    except FortranOrderError:
        return None


def second_of(given: object, inputs: int) -> NDArray[Any] | None:
    """The ids that a function gives beside the examples, whole numbers or texts of one dimension; None: no ids."""
    if not isinstance(given, tuple) or len(given) != 2 or not isinstance(given[1], list | np.ndarray):
        return None
    ids = np.asarray(given[1])
    if ids.dtype.kind == "O" and inputs == 1 and all(isinstance(one, str) for one in ids.flat):
        ids = ids.astype(str)  # as a column of a table
    return ids if ids.ndim == 1 and ids.dtype.kind in "iuU" else None


def parse(content: bytes, source: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """``x`` and ``id`` of the bytes of a file. Never unpickles."""
    try:
        file = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(file, np.ndarray):
            return file, None
        arrays = {name: file[name] for name in file.files}
    except Exception as error:  # of zipfile, zlib, struct, numpy and its parser of headers: no common base class
        raise RequestError(f"--data: {source} is no .npz or .npy file: {' '.join(str(error).split())[:200]}") from error
    ids = arrays.pop("id", None)
    if "x" not in arrays and len(arrays) != 1:
        raise RequestError(
            f"--data: {source} holds {', '.join(arrays) or 'nothing'}; expected x, and id if there are some"
        )
    return arrays["x"] if "x" in arrays else next(iter(arrays.values())), ids


def as_trained(x: Any, divisor: float | None, source: str) -> tuple[Any, float | None]:
    """The examples, and what they are divided by, as those of a run's training were.

    Args:
        divisor: of the run's data: 255 for bytes, None where they were not divided, ``NOT_SAID``.

    Raises:
        RequestError: the run was trained on bytes, and these are none.
    """
    if not isinstance(x, np.ndarray):
        return x, None
    is_bytes = x.dtype == np.uint8
    if divisor == NOT_SAID:
        divisor = BYTES if is_bytes else None
    if divisor is not None and not is_bytes:
        raise RequestError(
            f"--data: {source}: the run was trained on bytes, which are divided by {divisor:g}, and these are "
            f"{x.dtype}; give them as uint8"
        )
    return (as_images(x) if divisor is not None or not is_bytes else x), divisor


@dataclass(frozen=True)
class Predicted:
    """One row for each example, in their order.

    Attributes:
        ids: what the examples are called, ``[N]``.
        values: probabilities of the classes, float32 ``[N, C]``; of a model without classes its outputs ``[N, K]``.
        class_names: of the classes, or None where there are none.
    """

    ids: NDArray[Any]
    values: NDArray[np.float32]
    class_names: Sequence[str] | None

    def columns(self) -> dict[str, NDArray[Any]]:
        """``id``, ``label`` and ``p_<class>``; or ``id`` and ``output_0`` and so on."""
        if self.class_names is None:
            return {"id": self.ids, **{f"output_{k}": column for k, column in enumerate(self.values.T)}}
        labels = np.array(self.class_names)[self.values.argmax(axis=1)]
        named = {f"p_{name}": column for name, column in zip(self.class_names, self.values.T, strict=True)}
        return {"id": self.ids, "label": labels, **named}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """``id``, ``label`` int64, ``probabilities`` and ``class_names``; or ``id`` and ``outputs``."""
        if self.class_names is None:
            return {"id": self.ids, "outputs": self.values}
        labels = self.values.argmax(axis=1).astype(np.int64)
        return {
            "id": self.ids,
            "label": labels,
            "probabilities": self.values,
            "class_names": np.array(self.class_names),
        }


def check_output(output: str) -> Path:
    """The file to write. RequestError for one of another kind, or whose folder is not there."""
    path = Path(output)
    if path.suffix not in SUFFIXES:
        raise RequestError(f"--output: {output}: is written as its name ends; allowed: {', '.join(SUFFIXES)}")
    if not path.parent.is_dir() or path.is_dir():
        raise RequestError(f"--output: {output}: {path.parent} is not a folder, or {path.name} is one")
    return path


def write(path: Path, predicted: Predicted) -> None:
    """Write the file whole, or leave what was there."""
    kinds = {".csv": csv_bytes, ".parquet": parquet_bytes, ".npz": lambda given: npz_bytes(given.arrays())}
    write_whole(path, kinds[path.suffix](predicted))


def csv_bytes(predicted: Predicted) -> bytes:
    columns = predicted.columns()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    shown = [[f"{value:.6g}" for value in c] if c.dtype.kind == "f" else c.tolist() for c in columns.values()]
    writer.writerows(zip(*shown, strict=True))
    return text.getvalue().encode()


def parquet_bytes(predicted: Predicted) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table(predicted.columns()), buffer)
    return buffer.getvalue()
