"""Where each record of a TFRecord file begins: found once, by the lengths alone, and kept beside the file.

A record is its length (8 bytes, little-endian), the length's checksum (4), its content, and the content's checksum (4).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from nn_train.errors import RequestError, first_line
from nn_train.storage.atomic import user_cache

HEAD, FRAME = 12, 16  # bytes in front of a content, and in front and behind


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
        with tempfile.NamedTemporaryFile(dir=place.parent, suffix=".part", delete=False) as file:
            np.save(file, index)
        os.replace(file.name, place)
    except OSError:
        return False
    return True


def scan(path: str, size: int) -> NDArray[np.int64]:
    """Where the records begin, and the end. Reads 12 bytes of each. RequestError where one is damaged or cut short."""
    heads, starts = bytearray(), [0]
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while starts[-1] < size:
            head = os.pread(file, HEAD, starts[-1]).ljust(HEAD, b"\0")
            heads += head
            starts.append(starts[-1] + FRAME + int.from_bytes(head[:8], "little"))
    finally:
        os.close(file)
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
