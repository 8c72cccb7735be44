"""The folder of one run: the names of its files, and writes that are whole or not there.

Works on local paths and on every URI that pyarrow opens (``s3://``, ``gs://``, …).
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

from pyarrow import fs

from nn_train.errors import RequestError

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
MODEL = "model.keras"
RESULT = "result.json"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
REPLACED_BY = "replaced_by"


class RunFolder:
    """Files under ``<storage_path>/<name>/``, named by relative paths with ``/``.

    Raises (all methods):
        OSError: the storage cannot be reached or written.
    """

    def __init__(self, storage_path: str, name: str) -> None:
        self.is_local = "://" not in storage_path
        if self.is_local:
            self.location = os.path.join(os.path.abspath(os.path.expanduser(storage_path)), name)
            self.filesystem: Any = fs.LocalFileSystem()
            self.root = self.location
        else:
            self.location = f"{storage_path.rstrip('/')}/{name}"
            try:
                self.filesystem, self.root = fs.FileSystem.from_uri(self.location)
            except ValueError as error:
                reason = str(error).split("\n")[0]
                raise RequestError(f"run.storage_path: {storage_path} cannot be used: {reason}") from error
            if isinstance(self.filesystem, fs.LocalFileSystem):  # file://…
                self.is_local, self.location = True, self.root

    def path(self, name: str) -> str:
        """Where a file of the run is, for a person to read."""
        return f"{self.location}/{name}"

    def exists(self, name: str = "") -> bool:
        """Whether the file or folder is there."""
        return self.filesystem.get_file_info(self._inside(name)).type != fs.FileType.NotFound

    def is_empty(self) -> bool:
        """Whether there is no folder, or nothing in it."""
        return not self.filesystem.get_file_info(fs.FileSelector(self.root, allow_not_found=True))

    def read(self, name: str) -> bytes:
        """The whole content. FileNotFoundError where there is none."""
        with self.filesystem.open_input_stream(self._inside(name)) as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> None:
        """Write the whole file; a reader, and a crash, sees the old content or the new, never a part."""
        target = self._inside(name)
        self.filesystem.create_dir(os.path.dirname(target), recursive=True)
        # Object stores show an object only when it is complete; on a file system a rename does the same.
        written = f"{target}.{uuid.uuid4().hex[:8]}.part" if self.is_local else target
        with self.filesystem.open_output_stream(written) as stream:
            stream.write(content)
        if self.is_local:
            with open(written, "rb") as handle:
                os.fsync(handle.fileno())
            os.replace(written, target)

    def write_file(self, name: str, source: Path) -> None:
        """Copy a local file into the run."""
        self.write(name, source.read_bytes())

    def names(self, folder: str) -> list[str]:
        """The complete files directly in a folder, sorted; empty when the folder is not there."""
        selector = fs.FileSelector(self._inside(folder), allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        return sorted(i.base_name for i in found if i.type == fs.FileType.File and not i.base_name.endswith(".part"))

    def delete(self, name: str) -> None:
        """Delete a file; it may be gone already."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(self._inside(name))

    def clear(self) -> None:
        """Delete the run with everything in it."""
        if self.exists():
            self.filesystem.delete_dir(self.root)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A JSON file, or None where there is none."""
        return json.loads(self.read(name)) if self.exists(name) else None

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Indented JSON; NaN is refused, since it is no JSON."""
        self.write(name, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())

    def write_lines(self, name: str, rows: list[dict[str, Any]]) -> None:
        """One JSON object a line."""
        self.write(name, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())

    def _inside(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root
