"""A folder of results, on a local path or a URI, with writes that are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyarrow import fs

from nn_train.errors import RequestError, StorageError, first_line
from nn_train.storage.atomic import PART, write_whole
from nn_train.storage.layout import CONFIG
from nn_train.storage.pieces import open_uri, read_object
from nn_train.storage.retry import Result, may_pass, patiently

GONE = "its folder was there before and is gone: was it deleted, or its disk unmounted?"


class ResultsFolder:
    """Files under ``<storage_path>/<name>/``, named by relative paths with ``/``.

    Args:
        storage_path: a local path or a URI.
        name: the folder below it; empty for ``storage_path`` itself.
        field: the setting that ``storage_path`` comes from, for messages.

    Attributes:
        patient: whether to try again what fails for the moment (a full disk, a service that answers 503).
        needs: a local file without which nothing is written: the ``config.yaml`` that was seen or written here. Where
            it is missing, its disk is gone, and what is made anew would lie on another one. None: there was none yet.

    Raises (all methods):
        StorageError: the storage cannot be reached, read or written.
    """

    def __init__(self, storage_path: str, name: str = "", field: str = "run.storage_path") -> None:
        self.patient = True
        self.needs: str | None = None
        self.is_local = "://" not in storage_path
        self._field, self._options = field, ""
        if self.is_local:
            above = os.path.abspath(os.path.expanduser(storage_path))
            self._base = self.root = os.path.join(above, name) if name else above
            self.filesystem: Any = fs.LocalFileSystem()
        else:
            above, mark, options = storage_path.partition("?")
            self._base, self._options = "/".join([above.rstrip("/"), *([name] if name else [])]), mark + options
            self.filesystem, self.root = open_uri(self.location, field)
            if isinstance(self.filesystem, fs.LocalFileSystem):  # file://…
                self.is_local, self._base, self._options = True, self.root, ""

    @property
    def location(self) -> str:
        """The folder's path or URI."""
        return self._base + self._options

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.root.rpartition("/")[2]

    @property
    def parent(self) -> ResultsFolder:
        """The folder that this one is in."""
        return ResultsFolder((self._base.rpartition("/")[0] or "/") + self._options, field=self._field)

    @property
    def parent_name(self) -> str:
        """The part before it; empty where there is none."""
        return self.root.rpartition("/")[0].rpartition("/")[2]

    def inside(self, name: str) -> ResultsFolder:
        """A folder in this one, which needs what this one needs."""
        made = ResultsFolder(self.path(name), field=self._field)
        made.needs = self.needs
        return made

    def expect(self) -> None:
        """The run in this folder was begun: its ``config.yaml`` must be there from now on."""
        self.needs = self._inside(CONFIG) if self.is_local else None

    def path(self, name: str) -> str:
        """Where a file of the run is, for a person to read."""
        return f"{self._base}/{name}{self._options}"

    def exists(self, name: str = "") -> bool:
        """Whether the file or folder is there."""
        info = self._tried("read", name, lambda: self.filesystem.get_file_info(self._inside(name)))
        found = bool(info.type != fs.FileType.NotFound)
        if found and name == CONFIG:
            self.expect()
        return found

    def is_empty(self) -> bool:
        """Whether there is no folder, or nothing in it. RequestError where there is not even its bucket."""
        found = self._listed("")
        bucket = "" if self.is_local else self.root.partition("/")[0]
        if not found and bucket:
            about = self._tried("read", "", lambda: self.filesystem.get_file_info(bucket))
            if about.type == fs.FileType.NotFound:
                raise RequestError(f"{self._field}: there is no bucket {bucket!r}; create it first")
        return not found

    def read(self, name: str) -> bytes:
        """The whole content. FileNotFoundError (or NotADirectoryError) where there is none."""
        return self._tried("read", name, lambda: read_object(self.filesystem, self._inside(name)))

    def write(self, name: str, content: bytes) -> None:
        """Write the whole file; a reader, and a crash, sees the old content or the new, never a part."""
        self._tried("written", name, lambda: self._put(self._inside(name), content))
        if name == CONFIG:
            self.expect()

    def _put(self, target: str, content: bytes) -> None:
        if not self.is_local:  # object stores have no folders to make, and show an object only when it is complete
            with self.filesystem.open_output_stream(target) as stream:
                stream.write(content)
            return
        if self.needs is not None:
            try:
                os.stat(self.needs)
            except (FileNotFoundError, NotADirectoryError):
                raise OSError(errno.ESTALE, GONE) from None
        os.makedirs(os.path.dirname(target), exist_ok=True)
        write_whole(target, content)

    def write_file(self, name: str, source: Path) -> None:
        """Copy a local file into the run."""
        self.write(name, source.read_bytes())

    def names(self, folder: str) -> list[str]:
        """The complete files directly in a folder, sorted; empty when the folder is not there."""
        return [name for name in self._entries(folder, fs.FileType.File) if not name.endswith(".part")]

    def folders(self, folder: str) -> list[str]:
        """The folders directly in a folder, sorted; empty when the folder is not there."""
        return self._entries(folder, fs.FileType.Directory)

    def _entries(self, folder: str, kind: object) -> list[str]:
        return sorted(info.base_name for info in self._listed(folder) if info.type == kind)

    def _listed(self, folder: str) -> list[Any]:
        selector = fs.FileSelector(self._inside(folder), allow_not_found=True)
        return list(self._tried("read", folder, lambda: self.filesystem.get_file_info(selector)))

    def delete(self, name: str) -> None:
        """Delete a file; it may be gone already."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._tried("deleted", name, lambda: self.filesystem.delete_file(self._inside(name)))

    def sweep(self, folder: str = "") -> None:
        """Delete what a process that was killed while it wrote has left directly in a folder."""
        for name in self._entries(folder, fs.FileType.File):
            if PART.search(name):
                self.delete(f"{folder}/{name}" if folder else name)

    def clear(self) -> None:
        """Delete the run with everything in it; it may be begun anew."""
        if self.exists():
            with contextlib.suppress(FileNotFoundError):  # a try that failed had deleted it
                self._tried("deleted", "", lambda: self.filesystem.delete_dir(self.root))
        if self.needs == self._inside(CONFIG):
            self.needs = None

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A JSON object, or None where there is no such file. StorageError when it is damaged."""
        if not self.exists(name):
            return None
        try:
            content = json.loads(self.read(name))
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise StorageError(f"{self.path(name)} is damaged: it is no JSON object; delete it, or restore it")
        return content

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Indented JSON; NaN is refused, since it is no JSON."""
        self.write(name, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())

    def write_lines(self, name: str, rows: list[dict[str, Any]]) -> None:
        """One JSON object a line."""
        self.write(name, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())

    def _inside(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def _tried(self, done: str, name: str, action: Callable[[], Result]) -> Result:
        """What ``action`` gives. Its failure is one line that says where; a file that is not there is none of these."""
        try:
            return patiently(action, self._may_pass) if self.patient else action()
        except OSError as error:
            if done != "written" and isinstance(error, FileNotFoundError | NotADirectoryError):
                raise
            where = self.path(name) if name else self.location
            seconds = getattr(error, "tried_for", None)
            tried = f"; tried for {seconds:.0f} s" if seconds is not None else ""
            raise StorageError(f"{where} cannot be {done}: {first_line(error)}{tried}") from error

    def _may_pass(self, error: OSError) -> bool:
        was_always = error.errno == errno.EROFS and self.needs is None  # read-only from the beginning
        return may_pass(error) and not was_always
