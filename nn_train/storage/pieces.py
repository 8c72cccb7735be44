"""Files here and behind URIs (every one that pyarrow opens: ``s3://``, ``gs://``, …), of which pieces are read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyarrow import fs

from nn_train.config.uris import refuse_credentials
from nn_train.errors import RequestError, StorageError, first_line
from nn_train.storage.retry import patiently

REQUESTS = 16  # to a service at the same time: each takes long and costs no processor


class PiecesFile:
    """An open file; threads may share it.

    Args:
        path: or URI.
        field: the setting that it comes from.

    Attributes:
        size: in bytes, when it was opened.

    Raises (all methods):
        OSError: it cannot be opened or read.
        RequestError: a URI is none that can be used.
    """

    def __init__(self, path: str, field: str) -> None:
        self.is_local = "://" not in path
        self.filesystem, self.place = (fs.LocalFileSystem(), path) if self.is_local else open_uri(path, field)
        self.file = patiently(lambda: self.filesystem.open_input_file(self.place))
        self.size: int = patiently(self.file.size)

    def read(self, begin: int, count: int) -> bytes:
        """``count`` bytes from ``begin`` on, or those that there are."""
        there = max(0, min(count, self.size - begin))
        return bytes(patiently(lambda: self.file.read_at(there, begin))) if there else b""

    def for_all(self, action: Callable[[Any], None], pieces: Iterable[Any]) -> None:
        """``action`` with each of ``pieces``; where a service is asked, with several at the same time."""
        list(map(action, pieces) if self.is_local else requests().map(action, pieces))


@functools.lru_cache(maxsize=1)
def requests() -> ThreadPoolExecutor:
    """The threads of this process that ask a service."""
    return ThreadPoolExecutor(REQUESTS, "pieces")


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


def mark(filesystem: Any, path: str) -> str:
    """Size and time of what a path of a file system of pyarrow's names now, or why there are none."""
    try:
        about = patiently(lambda: filesystem.get_file_info(path))
    except OSError as error:
        return first_line(error)
    return f"{about.size} bytes of {about.mtime_ns} ns" if about.is_file else "there is no such file"


def read_object(filesystem: Any, path: str) -> bytes:
    """The whole content of a file of pyarrow's."""
    with filesystem.open_input_stream(path) as stream:
        return bytes(stream.read())
