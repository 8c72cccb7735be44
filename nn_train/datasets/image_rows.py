"""The images of one part of a folder: each is read and decoded when it is asked for."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nn_train.datasets.decoding import decode_one, decoder
from nn_train.errors import RequestError, StorageError, TrainingError, first_line
from nn_train.storage.retry import patiently


@dataclass(frozen=True)
class ImageShape:
    """What all images become.

    Attributes:
        first: the file that says what was not asked for.
        asked: nothing, ``H, W`` or ``H, W, C``.
    """

    first: Path
    asked: tuple[int, ...]

    @functools.cached_property
    def whole(self) -> tuple[int, int, int]:
        """H, W, C. RequestError where the first image is damaged."""
        if len(self.asked) == 3:
            return self.asked
        try:
            height, width, channels = decode_one(self.first.read_bytes()).shape
        except (ValueError, OSError) as error:
            raise RequestError(f"data.source: {self.first} cannot be decoded: {first_line(error)}") from error
        return (*(self.asked or (height, width)), channels)

    def decode(self, contents: Sequence[bytes]) -> NDArray[np.uint8]:
        """``[M, H, W, C]``; raises an error of TensorFlow's where one of them cannot become that."""
        return decoder(self.whole, bool(self.asked), len(self.asked) == 3)(contents)

    def problem(self, content: bytes) -> str:
        """What is wrong with an image; empty where nothing is."""
        try:
            found = decode_one(content).shape
            wanted = self.asked[2] if len(self.asked) == 3 else found[2]
        except ValueError as error:
            return f"cannot be decoded: {error}"
        try:
            found = decode_one(content, wanted).shape
        except ValueError:  # TensorFlow decodes BMP and GIF to no other number of channels
            shown = ",".join(map(str, self.asked))
            return (
                f"has {found[2]} channels, and its format cannot be read with {wanted} (data.image_size {shown}); make "
                "it a PNG or JPEG, or ask for its own"
            )
        checked = slice(2 if self.asked else 0, 3)
        if found[checked] == self.whole[checked]:
            return ""
        return (
            f"has the shape {list(found)}, the first image ({self.first}) {list(self.whole)}; data.image_size "
            f"{','.join(map(str, self.whole))} makes all alike"
        )


@dataclass(frozen=True)
class ImageRows:
    """The images of one part, by their numbers.

    Attributes:
        folder: of the part.
        names: paths below it, bytes ``[N]``.
        sizes: of the files in bytes, int64 ``[N]``.
        times: when they were last changed, in ns, int64 ``[N]``.
        labels: int32 ``[N]``.
        shape: what they become.
    """

    folder: Path
    names: NDArray[np.bytes_]
    sizes: NDArray[np.int64]
    times: NDArray[np.int64]
    labels: NDArray[np.int32]
    shape: ImageShape

    def __len__(self) -> int:
        return len(self.names)

    def path(self, row: int) -> str:
        return os.path.join(self.folder, os.fsdecode(self.names[row]))

    def take(self, index: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Images uint8 ``[M, H, W, C]`` and labels int32 ``[M]``.

        Raises:
            RequestError: an image is damaged, or is not like the first; names file and row.
            TrainingError: a file is gone, or is not what it was.
            StorageError: it cannot be read, although that was tried again.
        """
        contents = [self.read(row) for row in index.tolist()]
        try:
            return self.shape.decode(contents), self.labels[index]
        except RequestError:
            raise
        except Exception:  # which of them it was, TensorFlow does not tell
            for row, content in zip(index.tolist(), contents, strict=True):
                if problem := self.shape.problem(content):
                    raise RequestError(f"data.source: {self.path(row)} (row {row}) {problem}") from None
            raise

    def read(self, row: int) -> bytes:
        """The content of a file, which is what it was when it was listed."""
        path = self.path(row)
        where = f"data.source: {path} (row {row})"
        try:
            content, size, time = patiently(lambda: read_file(path))
        except FileNotFoundError as error:
            raise TrainingError(f"{where} is gone since the run began; put it back and start again") from error
        except OSError as error:
            raise StorageError(f"{where} cannot be read: {first_line(error)}") from error
        if (len(content), size, time) != (self.sizes[row], self.sizes[row], self.times[row]):
            raise TrainingError(
                f"{where} changed since the run began ({self.sizes[row]} bytes, now {len(content)}); put it back as it "
                "was and start again, or give another --name"
            )
        return content

    def fingerprint(self) -> dict[str, str]:
        """For each class how many files were listed and the SHA-256 of their names, sizes and times.

        Whether a file is still what was listed, ``take`` looks at when it reads it.
        """
        made = {}
        for label in np.unique(self.labels).tolist():
            names, sizes, times = (a[self.labels == label] for a in (self.names, self.sizes, self.times))
            digest = hashlib.sha256(b"\n".join(names.tolist()) + sizes.tobytes() + times.tobytes()).hexdigest()
            made[str(self.folder / os.fsdecode(names[0]).partition("/")[0])] = f"{len(names)} images, {digest}"
        return made


def read_file(path: str) -> tuple[bytes, int, int]:
    """The content of a file, its size and when it was last changed, in ns."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        about = os.fstat(file)
        return os.read(file, about.st_size + 1), about.st_size, about.st_mtime_ns
    finally:
        os.close(file)
