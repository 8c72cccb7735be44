"""The arrays of Parquet files, written to ``.npy`` files group of rows by group of rows."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.lib import format as npy
from numpy.typing import NDArray

from nn_train.config.wording import counted
from nn_train.datasets.arrays import as_weights, check_numbers, check_range, names_of
from nn_train.errors import RequestError, StorageError, first_line
from nn_train.storage.atomic import whole_file
from nn_train.storage.retry import may_pass, patiently

INPUT, LABELS, WEIGHT = "x", ("y", "label"), "sample_weight"
INDEX = "__index_level_"  # how the names begin that pandas gives to its index
TOLD_SECONDS = 20.0  # from one word about a long conversion to the next
Result = TypeVar("Result")


@dataclass(frozen=True)
class ParquetPart:
    """The files of one part.

    Attributes:
        filesystem: of pyarrow, and
        root: the path of the folder in it.
        shown: the same path, for messages.
        names: of the files, below it.
        part: ``train``, ``val`` or ``test``.
    """

    filesystem: Any
    root: str
    shown: str
    names: tuple[str, ...]
    part: str

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Any]:
        """A file, of which the groups can be read."""
        with contextlib.ExitStack() as stack:

            def opened() -> Any:
                file = stack.enter_context(self.filesystem.open_input_file(f"{self.root}/{name}"))
                return pq.ParquetFile(file, page_checksum_verification=True)

            yield readable(opened, f"{self.shown}/{name}")

    def groups(self, columns: dict[str, Any]) -> Iterator[tuple[str, int, pa.Table]]:
        """The path of each file, and the number and table of each of its groups. In memory is one group."""
        for name in self.names:
            path = f"{self.shown}/{name}"
            with self.open(name) as file:
                is_weighted = WEIGHT in file.schema_arrow.names and self.part != "test"
                wanted = [*columns["x"], columns["y"], *([WEIGHT] if is_weighted else [])]
                for group in range(file.num_row_groups):
                    read = functools.partial(file.read_row_group, group, columns=wanted)
                    yield path, group, readable(read, f"{path}, row group {group}")


def readable(action: Callable[[], Result], where: str) -> Result:
    """What ``action`` reads. RequestError where that is damaged, StorageError where a service does not answer."""
    try:
        return patiently(action)
    except (OSError, pa.ArrowException) as error:
        kind = StorageError if isinstance(error, OSError) and may_pass(error) else RequestError
        raise kind(
            f"data.source: {where} cannot be read: {first_line(error)}; if it is damaged, copy it again"
        ) from error


def convert(files: ParquetPart, into: Path, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Write the arrays of a part, named as in an ``.npz``, to a folder; ``say`` is told in a line how far that is.

    Returns:
        The columns they are made of: those of ``x`` and the type of its numbers, and that of ``y``.

    Raises:
        RequestError: what is in a file is no example; names file, row group and column. Or there is no room.
        StorageError: the service behind a URI does not answer.
        OSError: the folder cannot be written to.
    """
    count, groups, columns = survey(files)
    what = f"converting the {files.part} part of {files.shown} into the cache {into.parent}"
    say(f"{what}: {counted(groups, 'row group')}")
    done, told = 0, time.monotonic()
    written: list[IO[bytes]] = []
    shape: tuple[int, ...] = ()
    with contextlib.ExitStack() as stack:
        for path, group, table in files.groups(columns):
            if table.num_rows:
                arrays = arrays_of(table, columns, path, group)
                if not written:
                    shape = arrays[0].shape[1:]
                    for name, array in zip(names_of(files.part), arrays, strict=False):
                        written.append(stack.enter_context(npy_file(into / f"{name}.npy", count, array)))
                if arrays[0].shape[1:] != shape:
                    raise RequestError(
                        f"data.source: {path}: row group {group}, column x has lists of shape {arrays[0].shape[1:]}, "
                        f"those before it {shape}; expected the same in all rows"
                    )
                for file, array in zip(written, arrays, strict=True):
                    file.write(np.ascontiguousarray(array).data)
            del table  # before the next one is read
            done += 1
            if time.monotonic() - told >= TOLD_SECONDS:
                say(f"{what}: {done} of {counted(groups, 'row group')}")
                told = time.monotonic()
    return columns


@contextlib.contextmanager
def npy_file(path: Path, count: int, like: NDArray[Any]) -> Iterator[IO[bytes]]:
    """A file for ``count`` rows such as those of ``like``, which are written to it one after the other."""
    with whole_file(path) as file:
        head = {"descr": like.dtype.str, "fortran_order": False, "shape": (count, *like.shape[1:])}
        npy.write_array_header_1_0(file, head)
        yield file


def survey(files: ParquetPart) -> tuple[int, int, dict[str, Any]]:
    """How many rows there are, in how many groups, and the columns, which are the same in all files."""
    count, groups, first = 0, 0, None
    for name in files.names:
        path = f"{files.shown}/{name}"
        with files.open(name) as file:
            here = {**columns_of(file.schema_arrow, path), WEIGHT: WEIGHT in file.schema_arrow.names}
            count += file.metadata.num_rows
            groups += file.num_row_groups
        first = first or here
        if here != first:
            raise RequestError(
                f"data.source: the columns of {path} are {here}, those of {files.names[0]} {first}; give all files the "
                "same ones, in the same order"
            )
    if not count:
        raise RequestError(f"data.source: {files.shown}: the Parquet files of {files.part} have no rows")
    assert first is not None
    del first[WEIGHT]
    return count, groups, first


def arrays_of(table: pa.Table, columns: dict[str, Any], path: str, group: int) -> list[NDArray[Any]]:
    """``x`` (``[N, F]`` float32 of features), ``y`` (``[N]`` int64) and perhaps the weights (``[N]`` float32) of a
    group of rows. RequestError where one cannot be learned from."""
    found = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        found[name] = dense(whole, f"{path}: row group {group}, column {name}")
    for name in columns["x"]:
        check_numbers(found[name], f"row group {group}, column {name}", path)
    check_range(found[columns["y"]], f"row group {group}, column {columns['y']}", path)
    if columns["x"] == [INPUT]:
        x = found[INPUT]
        x = x.astype(np.float32, copy=False) if x.dtype.kind == "f" else x
    else:
        x = np.stack([found[name].astype(np.float32, copy=False) for name in columns["x"]], axis=1)
    weight = as_weights(found.get(WEIGHT), x, f"row group {group}, column {WEIGHT}", path)
    return [x, found[columns["y"]].astype(np.int64), *([] if weight is None else [weight])]


def dense(array: pa.Array, where: str) -> NDArray[Any]:
    """A column of numbers, or of lists in lists of them, as ``[N, …]``. RequestError for nulls, and for lists that are
    not all of one length."""
    shape = [len(array)]
    while True:
        if array.null_count:
            raise RequestError(f"data.source: {where} holds a null; fill it in, or leave out its row")
        if is_number(array.type):
            numbers: NDArray[Any] = array.to_numpy(zero_copy_only=False).reshape(shape)
            return numbers
        lengths = pc.unique(pc.list_value_length(array)).to_pylist()
        if len(lengths) > 1:
            raise RequestError(f"data.source: {where} has lists of several lengths; expected the same in all rows")
        shape.append(lengths[0] if lengths else 0)
        array = array.flatten()


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
