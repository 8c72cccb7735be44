"""A folder of Parquet files: each machine makes ``.npy`` files of them once, of which rows are read.

Parquet gives groups of rows and no single ones: a shuffled epoch would read each group again and again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs

from nn_train.config import DataConfig
from nn_train.datasets.arrays import names_of
from nn_train.datasets.examples import IndexedExamples, SplitData
from nn_train.datasets.npy_file import NpyFile
from nn_train.datasets.npy_folder import NpyRows, from_files
from nn_train.datasets.parquet_groups import ParquetPart, convert
from nn_train.errors import RequestError, StorageError, TrainingError, first_line
from nn_train.storage.atomic import user_cache, whole_folder
from nn_train.storage.pieces import open_uri
from nn_train.storage.retry import patiently

PARTS = ("train", "val", "test")
FILE = re.compile(r"(?:(train|val|test)[^/]*|(train|val|test)/[^/._][^/]*)\.parquet")
MADE_BY = "1"  # another number where other .npy files are made of the same Parquet files
COLUMNS = "columns.json"  # what the columns of the files were, beside the arrays


@dataclass(frozen=True)
class ParquetRows(NpyRows):
    """The examples of one part, of which the ``.npy`` files hold what the Parquet files do.

    Attributes:
        folder: path or URI of the Parquet files.
        part: ``train``, ``val`` or ``test``.
    """

    folder: str = ""
    part: str = ""

    def fingerprint(self) -> dict[str, str]:
        """Of the Parquet files: how many, and the size and time of each."""
        return marks_of(self.part, parquet_files(self.folder).get(self.part, {}))


def from_parquet(
    folder: str,
    files: dict[str, dict[str, str]],
    config: DataConfig,
    test_only: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> SplitData:
    """The examples of a folder with ``train*.parquet``, ``test*.parquet`` and perhaps ``val*.parquet``.

    Args:
        folder: its path or URI.
        files: as ``parquet_files`` found them.
        config: of the data.
        test_only: whether nothing but the test examples is needed.
        say: called with a line of progress where files are converted.

    Raises:
        RequestError: a file is missing, damaged or does not hold what a classifier can learn from, or there is no room
            for the ``.npy`` files.
        StorageError: the service behind a URI does not answer.
        TrainingError: a file changed while it was read.
    """
    missing = [part for part in (("test",) if test_only else ("train", "test")) if part not in files]
    if missing:
        raise RequestError(
            f"data.source: {folder} lacks {' and '.join(f'{part}*.parquet' for part in missing)}; expected "
            "train*.parquet, test*.parquet and, if you have them, val*.parquet"
        )
    wanted = [part for part in PARTS if part in files and (part == "test" or not test_only)]
    made = {part: converted(folder, part, files[part], say) for part in wanted}
    columns = {part: json.loads((place / COLUMNS).read_text()) for part, place in made.items()}
    for part in wanted:
        if columns[part] != columns[wanted[0]]:
            raise RequestError(
                f"data.source: {folder}: the columns of {part} are {columns[part]}, those of {wanted[0]} "
                f"{columns[wanted[0]]}; give all parts the same ones, in the same order"
            )
    arrays = {
        name: NpyFile(str(path), "data.source")
        for part, place in made.items()
        for name in names_of(part)
        if name and (path := place / f"{name}.npy").exists()
    }

    def examples_of(part: str, rows: NpyRows) -> IndexedExamples:
        return IndexedExamples(ParquetRows(**vars(rows), folder=folder, part=part), marks_of(part, files[part]))

    return from_files(arrays, folder, config, None, examples_of)


def marks_of(part: str, files: dict[str, str]) -> dict[str, str]:
    """The marks of a part's files, and their number, since one more or less is a change as well."""
    return {f"{part}*.parquet": f"{len(files)} files", **files} if files else {}


def parquet_files(folder: str) -> dict[str, dict[str, str]]:
    """By the part, its Parquet files, sorted: of each its name in the folder, size and time. Empty: there are none, or
    the arrays of ``.npy`` files are there as well.

    Raises:
        RequestError: the URI cannot be used.
        StorageError: the folder cannot be listed.
    """
    filesystem, root = located(folder)
    try:
        infos = listed(filesystem, root)
        if any(info.base_name == "x_test.npy" for info in infos):
            return {}
        below = [info.path for info in infos if not info.is_file and info.base_name in PARTS]
        infos = [*infos, *(info for path in below for info in listed(filesystem, path))]
    except OSError as error:
        raise StorageError(f"data.source: {folder} cannot be read: {first_line(error)}") from error
    found: dict[str, dict[str, str]] = {}
    for info in sorted(infos, key=lambda info: info.path):
        name = info.path.removeprefix(root).lstrip("/")
        if info.is_file and (match := FILE.fullmatch(name)):
            found.setdefault(match[1] or match[2], {})[name] = f"{info.size} bytes of {info.mtime_ns} ns"
    return found


def located(folder: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or URI, and the path in it."""
    return open_uri(folder, "data.source") if "://" in folder else (fs.LocalFileSystem(), os.path.abspath(folder))


def listed(filesystem: fs.FileSystem, path: str) -> list[fs.FileInfo]:
    """What is directly in a folder."""
    return list(patiently(lambda: filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))))


def converted(folder: str, part: str, files: dict[str, str], say: Callable[[str], None]) -> Path:
    """The folder of this machine with the ``.npy`` files of a part: made now, unless it was. While another process
    makes it, this one waits."""
    where = folder if "://" in folder else os.path.abspath(folder)
    told = json.dumps([MADE_BY, where, part, sorted(files.items())])
    made = user_cache() / "parquet" / hashlib.sha256(told.encode()).hexdigest()
    shown = where.partition("?")[0].rstrip("/")

    def waits() -> None:
        say(f"waiting for another process, which converts the {part} part of {shown}")

    try:
        with whole_folder(made, waits) as empty:
            if empty is not None:
                filesystem, root = located(folder)
                columns = convert(ParquetPart(filesystem, root, shown, tuple(files), part), empty, say)
                (empty / COLUMNS).write_text(json.dumps(columns))
                if parquet_files(folder).get(part) != files:
                    raise TrainingError(
                        f"data.source: files of {part} in {folder} changed while they were read; start again"
                    )
    except OSError as error:
        raise RequestError(
            f"data.source: {made}, for the rows of {folder}, cannot be written: {first_line(error)}; set "
            "XDG_CACHE_HOME to a folder with room"
        ) from error
    return made
