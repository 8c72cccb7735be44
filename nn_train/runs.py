"""The folder of one run: the names of its files, and writes that are whole or not there.

Works on local paths and on every URI that pyarrow opens (``s3://``, ``gs://``, …).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyarrow import fs

from nn_train.config.uris import refuse_credentials
from nn_train.errors import RequestError, StorageError

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
MODEL = "model.keras"
RESULT = "result.json"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
REPLACED_BY = "replaced_by"

# Of a finished search; the runs of its best models are folders in ``best``.
SEARCH = "search.json"
TRIALS = "trials.csv"
BEST_RUNS = "best"

# Seconds between tries to write a local file (pyarrow tries again for object stores), and after which failures.
RETRY_AFTER = (0.5, 1.0, 2.0, 4.0)
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY)


def open_uri(uri: str, field: str) -> tuple[Any, str]:
    """The pyarrow file system of a URI, and the path in it. ``field`` names the setting in messages.

    Credentials come from the environment; so does the address of a service that is not Amazon's own
    (``AWS_ENDPOINT_URL``), or from the URI's options (``?scheme=http&endpoint_override=host:9000``).

    Raises:
        RequestError: the URI holds credentials, or is none that pyarrow knows.
        StorageError: the service does not answer.
    """
    refuse_credentials(field, uri)
    try:
        return fs.FileSystem.from_uri(uri)
    except (ValueError, NotImplementedError) as error:
        raise RequestError(f"{field}: {uri} cannot be used: {first_line(error)}") from error
    except OSError as error:  # pyarrow asks Amazon for the region of a bucket
        raise StorageError(f"{field}: {uri} cannot be reached: {first_line(error)}") from error


class RunFolder:
    """Files under ``<storage_path>/<name>/``, named by relative paths with ``/``.

    Args:
        storage_path: a local path or a URI.
        name: the folder below it; empty for ``storage_path`` itself.
        field: the setting that ``storage_path`` comes from, for messages.

    Raises (all methods):
        StorageError: the storage cannot be reached, read or written.
    """

    def __init__(self, storage_path: str, name: str = "", field: str = "run.storage_path") -> None:
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
    def parent_name(self) -> str:
        """The part before it; empty where there is none."""
        return self.root.rpartition("/")[0].rpartition("/")[2]

    def path(self, name: str) -> str:
        """Where a file of the run is, for a person to read."""
        return f"{self._base}/{name}{self._options}"

    def exists(self, name: str = "") -> bool:
        """Whether the file or folder is there."""
        with self._told("read", name):
            return self.filesystem.get_file_info(self._inside(name)).type != fs.FileType.NotFound

    def is_empty(self) -> bool:
        """Whether there is no folder, or nothing in it. RequestError where there is not even its bucket."""
        with self._told("read"):
            found = self.filesystem.get_file_info(fs.FileSelector(self.root, allow_not_found=True))
            bucket = "" if self.is_local else self.root.partition("/")[0]
            if not found and bucket and self.filesystem.get_file_info(bucket).type == fs.FileType.NotFound:
                raise RequestError(f"{self._field}: there is no bucket {bucket!r}; create it first")
        return not found

    def read(self, name: str) -> bytes:
        """The whole content. FileNotFoundError (or NotADirectoryError) where there is none."""
        with self._told("read", name), self.filesystem.open_input_stream(self._inside(name)) as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> None:
        """Write the whole file; a reader, and a crash, sees the old content or the new, never a part."""
        with self._told("written", name):
            if self.is_local:
                self._write_patiently(self._inside(name), content)
                return
            # Object stores have no folders to make, and show an object only when it is complete.
            with self.filesystem.open_output_stream(self._inside(name)) as stream:
                stream.write(content)

    def _write_patiently(self, target: str, content: bytes) -> None:
        """A disk that is full, or a server of files that does not answer, may be well again in a moment."""
        for seconds in RETRY_AFTER:
            try:
                return self._write_locally(target, content)
            except OSError as error:
                if error.errno not in PASSING:
                    raise
                time.sleep(seconds)
        self._write_locally(target, content)

    def _write_locally(self, target: str, content: bytes) -> None:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        written = f"{target}.{uuid.uuid4().hex[:8]}.part"
        try:
            with open(written, "wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(written, target)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(written)  # it takes room on a disk that has none
            raise

    def write_file(self, name: str, source: Path) -> None:
        """Copy a local file into the run."""
        self.write(name, source.read_bytes())

    def names(self, folder: str) -> list[str]:
        """The complete files directly in a folder, sorted; empty when the folder is not there."""
        return [name for name in self._entries(folder, fs.FileType.File) if not name.endswith(".part")]

    def folders(self, folder: str) -> list[str]:
        """The folders directly in a folder, sorted; empty when the folder is not there."""
        return self._entries(folder, fs.FileType.Directory)

    def _entries(self, folder: str, kind: Any) -> list[str]:
        with self._told("read", folder):
            found = self.filesystem.get_file_info(fs.FileSelector(self._inside(folder), allow_not_found=True))
        return sorted(info.base_name for info in found if info.type == kind)

    def delete(self, name: str) -> None:
        """Delete a file; it may be gone already."""
        with self._told("deleted", name), contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(self._inside(name))

    def clear(self) -> None:
        """Delete the run with everything in it."""
        if self.exists():
            with self._told("deleted"):
                self.filesystem.delete_dir(self.root)

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

    @contextlib.contextmanager
    def _told(self, done: str, name: str = "") -> Iterator[None]:
        """Failures of the storage as one line that says where; a file to read that is not there is none of them."""
        try:
            yield
        except OSError as error:
            if done == "read" and isinstance(error, FileNotFoundError | NotADirectoryError):
                raise
            where = self.path(name) if name else self.location
            raise StorageError(f"{where} cannot be {done}: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """What happened, without the lines for programmers that pyarrow adds."""
    return str(getattr(error, "strerror", None) or error).split("\n")[0]
