"""Images in folders that are named after their classes: each is read and decoded when it is asked for.

``FOLDER/train/CLASS/*.jpg``, and ``val`` and ``test`` beside ``train`` where there are such parts.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nn_train.config import DataConfig
from nn_train.datasets.arrays import split_data
from nn_train.datasets.examples import IndexedExamples, SplitData
from nn_train.errors import RequestError, StorageError, TrainingError, first_line, without_operation
from nn_train.storage.retry import patiently

if TYPE_CHECKING:
    import tensorflow as tf

PARTS = ("train", "val", "test")
Images = NDArray[np.uint8]
AT_ONCE = 4  # of a batch, decoded at the same time: else, when one batch is left, one core works and the others wait
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def is_image_folder(folder: Path) -> bool:
    """Whether ``folder`` has folders for parts, with folders in them as those of classes."""
    return any((folder / part).is_dir() and subfolders(folder / part) for part in PARTS)


def from_image_folder(folder: Path, config: DataConfig, test_only: bool = False) -> SplitData:
    """The images of a folder, checked by their names alone.

    Args:
        folder: holds ``train`` and may hold ``val`` and ``test``.
        config: of the data.
        test_only: whether nothing but the test images is needed.

    Raises:
        RequestError: as ``image_folder``; or nothing is left to train on.
    """
    parts, names = image_folder(folder, config.image_size, ("test",) if test_only else PARTS)
    examples = {part: IndexedExamples(rows) for part, rows in parts.items()}
    return split_data(examples, str(folder), config, 255.0, len(names), names)


def image_folder(
    folder: Path, size: Sequence[int] = (), parts: Sequence[str] = PARTS
) -> tuple[dict[str, ImageRows], tuple[str, ...]]:
    """The images of each part, and the names of the classes: those of the folders, sorted.

    Labels are places among these names, the same in all parts. Names that begin with a dot are passed over, and files
    that do not end in one of ``SUFFIXES``. Neither TensorFlow nor the content of a file is needed for this.

    Args:
        folder: holds a folder for each part.
        size: ``H, W`` to which images are resized; or ``H, W, C``, which also makes them grey (1), colours (3) or
            colours with opacity (4). Without, all images must be like the first of the first part.
        parts: that are wanted; the first must be there.

    Raises:
        RequestError: there is another folder, a class is not in all parts or has no image in the first.
    """
    there = subfolders(folder)
    if parts[0] not in there or set(there) - set(PARTS):
        raise RequestError(
            f"data.source: {folder} holds the folders {', '.join(there) or '(none)'}; expected train and, if you have "
            "them, val and test, each with a folder of images for a class"
        )
    there = [part for part in parts if part in there]
    first = folder / there[0]
    names = subfolders(first)
    for part in there:
        refuse_other_classes(folder / part, first, names)
    listed = {part: [list_images(folder / part, name) for name in names] for part in there}
    for part, classes in listed.items():
        if not any(classes):
            raise RequestError(f"data.source: {folder / part} holds no image; expected {', '.join(SUFFIXES)}")
    for name, images in zip(names, listed[there[0]], strict=True):
        if not images and first.name == "train":
            raise RequestError(f"data.source: {first / name} holds no image; expected {', '.join(SUFFIXES)}")
    like = next(name for images in listed[first.name] for name, _, _ in images)
    shape = ImageShape(first / os.fsdecode(like), tuple(size))
    return {part: rows_of(folder / part, classes, shape) for part, classes in listed.items()}, tuple(names)


def subfolders(folder: Path) -> list[str]:
    try:
        return sorted(one.name for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    except OSError as error:
        raise RequestError(f"data.source: {folder} cannot be read: {first_line(error)}") from error


def refuse_other_classes(folder: Path, first: Path, names: Sequence[str]) -> None:
    """RequestError where the classes of a part are not those of the first part."""
    here = subfolders(folder)
    for name in sorted(set(here) ^ set(names)):
        missing, there = (first, folder) if name in here else (folder, first)
        raise RequestError(
            f"data.source: {missing} has no folder {name!r}, {there} has one; expected the same classes in all parts, "
            "in val and test with an empty folder for one without images"
        )


def list_images(part: Path, name: str) -> list[tuple[bytes, int, int]]:
    """Path below the part, bytes and time (ns) of every image of a class, in the order that Keras has them in."""
    images = []
    for root, _, files in sorted(os.walk(part / name), key=lambda found: found[0]):
        for file in sorted(files):
            if file.lower().endswith(SUFFIXES) and not file.startswith("."):
                path = os.path.join(root, file)
                about = os.stat(path)
                images.append((os.fsencode(os.path.relpath(path, part)), about.st_size, about.st_mtime_ns))
    return images


def rows_of(part: Path, classes: Sequence[Sequence[tuple[bytes, int, int]]], shape: ImageShape) -> ImageRows:
    listed = [image for images in classes for image in images]
    return ImageRows(
        folder=part,
        names=np.array([name for name, _, _ in listed]),
        sizes=np.array([size for _, size, _ in listed]),
        times=np.array([time for _, _, time in listed]),
        labels=np.repeat(np.arange(len(classes), dtype=np.int32), [len(images) for images in classes]),
        shape=shape,
    )


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
        import tensorflow as tf

        try:
            with tf.device("CPU:0"):
                image = tf.io.decode_image(self.first.read_bytes(), expand_animations=False)
        except (tf.errors.OpError, OSError) as error:
            why = without_operation(str(error))
            raise RequestError(f"data.source: {self.first} cannot be decoded: {why}") from error
        height, width, channels = image.shape
        return (*(self.asked or (height, width)), channels)

    def decode(self, contents: Sequence[bytes]) -> NDArray[np.uint8]:
        """``[M, H, W, C]``; raises an error of TensorFlow's where one of them cannot become that."""
        return decoder(self.whole, bool(self.asked), len(self.asked) == 3)(contents)


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
        except Exception:  # TensorFlow does not tell which of them it was
            for row, content in zip(index.tolist(), contents, strict=True):
                self.refuse_unlike(row, content)
            raise

    def refuse_unlike(self, row: int, content: bytes) -> None:
        """RequestError where an image cannot be decoded, or has another shape than the first."""
        try:
            self.shape.decode([content])
        except Exception as error:
            raise RequestError(
                f"data.source: {self.path(row)} (row {row}) cannot be decoded as {list(self.shape.whole)}, as the "
                f"first image is ({self.shape.first}): {without_operation(str(error))}; data.image_size H,W,C makes "
                "all alike"
            ) from None

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
    with open(path, "rb") as file:
        about = os.fstat(file.fileno())
        return file.read(), about.st_size, about.st_mtime_ns


@functools.cache
def decoder(shape: tuple[int, int, int], resize: bool, convert: bool) -> Callable[[Sequence[bytes]], Images]:
    """A function that makes uint8 ``[M, H, W, C]`` of the content of M files, without Python's lock.

    Threads may call it at once. It raises ``tf.errors.InvalidArgumentError`` where one of the images is damaged or,
    being neither resized nor converted, is none of ``shape``; which of them it does not tell.

    Args:
        shape: H, W, C.
        resize: bilinear, as ``keras.utils.image_dataset_from_directory`` does it, then rounded.
        convert: grey images to colours, colours to grey, as C says.
    """
    import tensorflow as tf

    def decode(content: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(content, channels=shape[2] if convert else 0, expand_animations=False)
        if resize:
            image = tf.cast(tf.round(tf.image.resize(image, shape[:2])), tf.uint8)  # between its neighbours: 0 … 255
        return tf.ensure_shape(image, shape)

    # One call for all: a graph costs a tenth of what a call of its own would cost each image.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def decode_all(contents: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU:0"):
            like = tf.TensorSpec(shape, tf.uint8)
            return tf.map_fn(decode, contents, fn_output_signature=like, parallel_iterations=AT_ONCE)

    # As an array without a copy, which ``.numpy()`` would make.
    return lambda contents: np.asarray(decode_all(tf.constant(contents, tf.string, [len(contents)])))
