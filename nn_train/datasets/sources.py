"""Reading a data source by its name, and refusing what cannot be learned from."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import warnings
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from nn_train.config import DataConfig
from nn_train.config.entry_points import call_entry_point
from nn_train.config.options import is_entry_point, nearest
from nn_train.config.schema import BUILT_IN_DATA
from nn_train.datasets.arrays import (
    check_trees,
    checked_names,
    classes_of,
    from_arrays,
    names_of,
    split_data,
)
from nn_train.datasets.examples import Examples, SplitData, digest
from nn_train.datasets.fingerprints import PARTS, fingerprints, look_at_stream
from nn_train.datasets.image_folder import from_image_folder, is_image_folder
from nn_train.datasets.npy_folder import from_folder
from nn_train.datasets.own_rows import are_indexable, from_objects
from nn_train.datasets.parquet_folder import from_parquet, parquet_files
from nn_train.errors import RequestError, StorageError, first_line
from nn_train.storage.pieces import PiecesFile, open_uri
from nn_train.storage.retry import patiently

NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")
TEST_KEYS = NPZ_KEYS[2:]
NAMES = "class_names"
MORE_KEYS = ("x_val", "y_val", "sample_weight", "sample_weight_val", NAMES)  # that may be there
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # the second of an empty archive
MNIST_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}


def load_data(config: DataConfig, say: Callable[[str], None] = lambda line: None) -> SplitData:
    """Read, check and split the examples of ``config.source``; ``say`` is called with a line of what takes long.

    Images given as bytes (uint8 ``[N, H, W]`` or ``[N, H, W, C]``) stay bytes here; ``SplitData.divisor``
    says what the engine divides them by.

    Raises:
        RequestError: the source cannot be read, or does not hold what a classifier can learn from.
    """
    source = config.source
    if is_entry_point(source):
        return from_entry_point(source, config)
    if is_folder(source):
        return from_any_folder(source, config, say=say)
    arrays = read_arrays(source)
    return from_arrays(arrays, source, config, arrays.pop(NAMES, None))


def load_test(config: DataConfig) -> SplitData:
    """As ``load_data``, for the test examples alone: a file or folder need have no others. Raises RequestError."""
    source = config.source
    if is_folder(source):
        return from_any_folder(source, dataclasses.replace(config, validation_fraction=0), test_only=True)
    if is_entry_point(source) or ("/" not in source and not source.endswith(".npz")):
        return load_data(config)
    arrays = parse_npz(read_bytes(source), source, TEST_KEYS)
    names = arrays.pop(NAMES, None)
    return from_arrays({key: arrays[key] for key in TEST_KEYS}, source, config, names)


def is_folder(source: str) -> bool:
    """Whether a source is a folder: none of the names of data sets, also where a folder is called so. RequestError or
    StorageError for a URI that cannot be used."""
    if source in BUILT_IN_DATA:
        return False
    with contextlib.suppress(OSError):  # such as a name that is too long: who reads it says why it cannot be read
        if "://" not in source:
            return Path(source).is_dir()
        if not source.partition("?")[0].endswith(".npz"):
            filesystem, path = open_uri(source, "data.source")
            return not patiently(lambda: filesystem.get_file_info(path)).is_file
    return False


def from_any_folder(
    folder: str, config: DataConfig, test_only: bool = False, say: Callable[[str], None] = lambda line: None
) -> SplitData:
    """The examples of a folder of images by class, of Parquet or of ``.npy`` files. Raises RequestError."""
    if is_image_folder(Path(folder)):
        return from_image_folder(Path(folder), config, test_only)
    if any(Path(folder).glob("*.tfrecord*")):
        raise RequestError(
            f"data.source: {folder} holds TFRecord files, and what is in their records only you know: name a function "
            "module:function that returns nn_train.TfRecords(files, parse) for each part"
        )
    if config.image_size:
        raise RequestError(
            f"data.image_size: is for the images of a folder, and {folder} holds no train or test folder with one for "
            "each class"
        )
    if parts := parquet_files(folder):
        return from_parquet(folder, parts, config, test_only, say)
    return from_folder(folder, config, test_only)


def can_check_early(source: str) -> bool:
    """Whether the source can be read without TensorFlow and without running the user's code."""
    return source != "fashion_mnist" and not is_entry_point(source)


def read_arrays(source: str) -> dict[str, np.ndarray]:
    """The arrays of a named data set or of an ``.npz`` file."""
    if source == "mnist":
        return read_mnist()
    if source == "fashion_mnist":
        import keras

        (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
        return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test, NAMES: np.array(FASHION)}
    if "/" not in source and not source.endswith(".npz"):
        raise RequestError(
            f"data.source: {source!r} is not known; allowed: {', '.join(BUILT_IN_DATA)}, the path or URI of an .npz, a "
            "folder of .npy or Parquet files or of images by class, or module:function"
            f"{nearest(source, BUILT_IN_DATA)}"
        )
    return parse_npz(read_bytes(source), source)


def read_mnist() -> dict[str, np.ndarray]:
    """MNIST as it travels with this package, checked against the digests above."""
    packaged = files("nn_train.datasets") / "data" / "mnist.npz"
    arrays = parse_npz(packaged.read_bytes(), str(packaged))
    for key, expected in MNIST_SHA256.items():
        if digest(arrays[key]) != expected:
            raise RequestError(f"data.source: the packaged MNIST is damaged ({key}); install the package again")
    return arrays


def read_bytes(source: str, field: str = "data.source") -> bytes:
    """The content of a local path or of a URI that pyarrow can open; ``field`` names it in messages.

    Raises:
        RequestError: there is no such file, or it is not readable.
        StorageError: the service behind a URI does not answer, or refuses.
    """
    try:
        file = PiecesFile(source, field)
        return file.read(0, file.size)
    except OSError as error:
        kind = RequestError if "://" not in source or isinstance(error, FileNotFoundError) else StorageError
        raise kind(f"{field}: {source} cannot be read: {first_line(error)}") from error


def parse_npz(content: bytes, source: str, needed: tuple[str, ...] = NPZ_KEYS) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` in Keras' layout. Never unpickles."""
    if content[:4] not in ZIP_MAGIC:
        raise RequestError(
            f"data.source: {source} is not an .npz file; save {', '.join(needed)} into one with numpy.savez"
        )
    try:
        with warnings.catch_warnings(), np.load(io.BytesIO(content), allow_pickle=False) as archive:
            warnings.simplefilter("ignore", UserWarning)  # headers of Python 2 are read, only more slowly
            arrays = {key: archive[key] for key in (*needed, *MORE_KEYS) if key in archive.files}
            there = archive.files
    except Exception as error:  # of zipfile, zlib, struct, numpy and its parser of headers: no common base class
        if str(error).startswith("Object arrays"):
            raise RequestError(
                f"data.source: {source} holds Python objects (pickles), which are never loaded; "
                "save plain numeric arrays with numpy.savez"
            ) from error
        raise RequestError(f"data.source: {source} is damaged: {error}") from error
    if missing := [key for key in needed if key not in arrays]:
        raise RequestError(
            f"data.source: {source} lacks {', '.join(missing)}; it holds {', '.join(there) or 'nothing'}, expected "
            f"{', '.join(needed)}"
        )
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy gives the bytes of a member that is no array
            raise RequestError(f"data.source: {source} is damaged: {key} is not an array")
    return arrays


def from_entry_point(source: str, config: DataConfig) -> SplitData:
    """Return what the user's ``load()`` gives, with its fingerprints."""
    data = parts_of(call_entry_point("data.source", source, config.args, config=config), source, config)
    if data.is_stream:
        first = {name: look_at_stream(part) for name, part in zip(PARTS, (data.train, data.validation), strict=False)}
        data = dataclasses.replace(data, first=first)
    return dataclasses.replace(data, fingerprint={**data.fingerprint, **fingerprints(data)})


def parts_of(given: object, source: str, config: DataConfig) -> SplitData:
    """Return arrays in Keras' convention, ``tf.data`` datasets or objects by index as examples. RequestError."""
    parts = tuple(given) if isinstance(given, tuple | list) else ()
    names: Any = None
    if parts and are_names(parts[-1]):
        parts, names = parts[:-1], parts[-1]
    if len(parts) in (2, 3) and all(hasattr(part, "element_spec") for part in parts):
        test = parts[2] if len(parts) == 3 else None
        named_classes = None if names is None else checked_names(names, 0, source)
        return SplitData(train=parts[0], validation=parts[1], test=test, class_names=named_classes)
    if are_indexable(parts):
        return from_objects(parts, source, config, names)
    named = named_parts(parts)
    if not named:
        raise RequestError(
            f"data.source: {source} must return ((x_train, y_train), (x_test, y_test)), with (x_val, y_val) between "
            "the two if there is one, and sample weights as a third array; or the tf.data datasets "
            "(train, validation) or (train, validation, test); or the same as objects with "
            "len() and an example (x, y) at [index]; and at the end the names of the classes, if they have "
            f"some; got {type(given).__name__}"
        )
    arrays = {name: tree for part, trees in named.items() for name, tree in zip(names_of(part), trees, strict=False)}
    labels = [trees[1] for trees in named.values()]
    if all(isinstance(a, np.ndarray) for a in arrays.values()) and all(y.dtype.kind in "ui" for y in labels):
        return from_arrays(arrays, source, config, names)  # class labels: the same rules as for an .npz
    for part, trees in named.items():
        check_trees(trees, part, source)
    made = {part: Examples(*trees) for part, trees in named.items()}
    whole = {name: digest(tree) for name, tree in arrays.items() if isinstance(tree, np.ndarray)}
    return dataclasses.replace(split_data(made, source, config, None, classes_of(*labels), names), sha256=whole)


def are_names(part: object) -> bool:
    """Whether the last thing that a user's function gives are the names of the classes."""
    if isinstance(part, np.ndarray):
        return part.dtype.kind == "U"
    return isinstance(part, tuple | list) and len(part) > 0 and all(isinstance(name, str) for name in part)


def named_parts(parts: tuple[Any, ...]) -> dict[str, tuple[Any, ...]]:
    """``(x, y)`` or ``(x, y, weight)`` of each part by its name; empty where it is something else."""
    names = {2: ("train", "test"), 3: ("train", "val", "test")}.get(len(parts), ())
    if not names or not all(isinstance(part, tuple | list) and len(part) in (2, 3) for part in parts):
        return {}
    named = {name: tuple(part) for name, part in zip(names, parts, strict=True)}
    return {} if len(named["test"]) == 3 else named
