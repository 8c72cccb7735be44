"""Images in folders that are named after their classes: each is read and decoded when it is asked for.

``FOLDER/train/CLASS/*.jpg``, and ``val`` and ``test`` beside ``train`` where there are such parts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nn_train.config import DataConfig
from nn_train.datasets.arrays import checked_names, with_validation
from nn_train.datasets.examples import SplitData
from nn_train.datasets.image_rows import ImageRows, ImageShape
from nn_train.datasets.rows import IndexedExamples
from nn_train.errors import RequestError, first_line

PARTS = ("train", "val", "test")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def is_image_folder(folder: Path) -> bool:
    """Whether ``folder`` has folders for parts, with folders in them as those of classes."""
    return any((folder / part).is_dir() and subfolders(folder / part) for part in PARTS)


def from_image_folder(folder: Path, config: DataConfig, test_only: bool = False) -> SplitData:
    """The images of a folder, checked by their names alone.

    Args:
        folder: holds ``train`` and may hold ``val`` and ``test``.
        config: of the data.
        test_only: whether nothing but the test images is needed; these then stand for those of training as well.

    Raises:
        RequestError: as ``image_folder``; or nothing is left to train on.
    """
    parts, names = image_folder(folder, config.image_size, ("test",) if test_only else PARTS)
    examples = {part: IndexedExamples(rows) for part, rows in parts.items()}
    if test_only:
        train, validation = examples["test"], None
    else:
        train, validation = with_validation(examples["train"], examples.get("val"), config)
    return SplitData(
        train=train,
        validation=validation,
        test=examples.get("test"),
        divisor=255.0,
        num_classes=len(names),
        class_names=checked_names(np.array(names), len(names), str(folder)),
        fingerprint={file: mark for part in examples.values() for file, mark in part.began.items()},
    )


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
