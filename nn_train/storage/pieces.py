"""Files here and behind URIs (every one that pyarrow opens: ``s3://``, ``gs://``, …), of which pieces are read."""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyarrow import fs

from nn_train.config.uris import refuse_credentials
from nn_train.errors import RequestError, StorageError, first_line
from nn_train.storage.retry import patiently

BUFFERS = 1024  # into which one read goes at most, on Linux
REQUESTS = 16  # to a service at the same time: each takes long and costs no processor


class LocalFile:
    """An open file; threads may share it.

    Args:
        path: of it.

    Attributes:
        size: in bytes, when it was opened.

    Raises (all methods):
        OSError: it cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.file)
        self.size = os.fstat(self.file).st_size

    def mark(self) -> str:
        """Size and time of what the path names now."""
        about = os.stat(self.path)
        return f"{about.st_size} bytes of {about.st_mtime_ns} ns"

    def read(self, begin: int, count: int) -> bytes:
        """``count`` bytes from ``begin`` on, or those that there are."""
        found = bytearray()
        while len(found) < count and (more := self.piece(begin + len(found), count - len(found))):
            found += more
        return bytes(found)

    def piece(self, begin: int, count: int) -> bytes:
        return patiently(lambda: os.pread(self.file, count, begin))

    def read_into(self, buffers: Sequence[Any], begin: int) -> int:
        """Fill buffers with what lies there one after the other. How many bytes that were; fewer where the file ends,
        and where there are too many buffers for one read."""
        return patiently(lambda: os.preadv(self.file, buffers, begin)) if len(buffers) <= BUFFERS else 0

    def for_all(self, action: Callable[[Any], None], pieces: Iterable[Any]) -> None:
        """``action`` with each of ``pieces``."""
        for piece in pieces:
            action(piece)


class RemoteFile:
    """As ``LocalFile``, behind a URI; ``field`` names the setting that it comes from."""

    def __init__(self, path: str, field: str) -> None:
        self.filesystem, self.place = open_uri(path, field)
        self.file = patiently(lambda: self.filesystem.open_input_file(self.place))
        self.size: int = patiently(self.file.size)

    def mark(self) -> str:
        about = patiently(lambda: self.filesystem.get_file_info(self.place))
        return f"{about.size} bytes of {about.mtime_ns} ns" if about.is_file else "there is no such file"

    def read(self, begin: int, count: int) -> bytes:
        there = max(0, min(count, self.size - begin))
        return bytes(patiently(lambda: self.file.read_at(there, begin))) if there else b""

    def read_into(self, buffers: Sequence[Any], begin: int) -> int:
        got = memoryview(self.read(begin, sum(len(buffer.data.cast("B")) for buffer in buffers)))
        done = 0
        for buffer in buffers:
            bytes_of = buffer.data.cast("B")
            piece = got[done : done + len(bytes_of)]
            bytes_of[: len(piece)] = piece
            done += len(piece)
        return len(got)

    def for_all(self, action: Callable[[Any], None], pieces: Iterable[Any]) -> None:
        """Several at the same time."""
        list(requests().map(action, pieces))


@functools.lru_cache(maxsize=1)
def requests() -> ThreadPoolExecutor:
    """The threads of this process that ask a service."""
    return ThreadPoolExecutor(REQUESTS, "pieces")


def open_pieces(path: str, field: str) -> LocalFile | RemoteFile:
    """The file at a path or URI. OSError where it cannot be opened; RequestError for a URI that is none."""
    return RemoteFile(path, field) if "://" in path else LocalFile(path)


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


def read_object(filesystem: Any, path: str) -> bytes:
    """The whole content of a file of pyarrow's."""
    with filesystem.open_input_stream(path) as stream:
        return bytes(stream.read())
