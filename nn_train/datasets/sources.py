"""Reading a data source by its name, and refusing what cannot be learned from."""

from __future__ import annotations

import io
import warnings
from importlib.resources import files
from pathlib import Path

import numpy as np

from nn_train.config import DataConfig
from nn_train.config.entry_points import call_entry_point
from nn_train.config.options import is_entry_point, nearest
from nn_train.datasets.examples import Examples, SplitData, digest, hold_out, leaves
from nn_train.errors import RequestError, StorageError, first_line
from nn_train.storage.retry import patiently
from nn_train.storage.uris import open_uri, read_object

NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # the second of an empty archive
MNIST_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}


def load_data(config: DataConfig) -> SplitData:
    """Read, check and split the examples of ``config.source``.

    Images given as bytes (uint8 ``[N, H, W]`` or ``[N, H, W, C]``) stay bytes here; ``SplitData.divisor``
    says what the engine divides them by.

    Raises:
        RequestError: the source cannot be read, or does not hold what a classifier can learn from.
    """
    source = config.source
    if is_entry_point(source):
        return from_entry_point(source, config)
    return from_arrays(read_arrays(source), source, config)


def can_check_early(source: str) -> bool:
    """Whether the source can be read without TensorFlow and without running the user's code."""
    return source != "fashion_mnist" and not is_entry_point(source)


def read_arrays(source: str) -> dict[str, np.ndarray]:
    """The four arrays of a named data set or of an ``.npz`` file."""
    if source == "mnist":
        return read_mnist()
    if source == "fashion_mnist":
        import keras

        (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
        return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    if "/" not in source and not source.endswith(".npz"):
        raise RequestError(
            f"data.source: {source!r} is not known; allowed: mnist, fashion_mnist, the path or URI of an .npz, "
            f"or module:function{nearest(source, ('mnist', 'fashion_mnist'))}"
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


def read_bytes(source: str) -> bytes:
    """The content of a local path or of a URI that pyarrow can open.

    Raises:
        RequestError: there is no such file, or it is not readable.
        StorageError: the service behind a URI does not answer, or refuses.
    """
    where = f"data.source: {source} cannot be read"
    try:
        if "://" not in source:
            if Path(source).exists() and not Path(source).is_file():
                raise RequestError(f"{where}: it is a folder or a device, expected an .npz file")
            return Path(source).read_bytes()
        filesystem, path = open_uri(source, "data.source")
        return patiently(lambda: read_object(filesystem, path))
    except OSError as error:
        kind = RequestError if "://" not in source or isinstance(error, FileNotFoundError) else StorageError
        raise kind(f"{where}: {first_line(error)}") from error


def parse_npz(content: bytes, source: str) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` in Keras' layout. Never unpickles."""
    if content[:4] not in ZIP_MAGIC:
        raise RequestError(
            f"data.source: {source} is not an .npz file; save {', '.join(NPZ_KEYS)} into one with numpy.savez"
        )
    try:
        with warnings.catch_warnings(), np.load(io.BytesIO(content), allow_pickle=False) as archive:
            warnings.simplefilter("ignore", UserWarning)  # headers of Python 2 are read, only more slowly
            missing = [key for key in NPZ_KEYS if key not in archive.files]
            if missing:
                raise RequestError(
                    f"data.source: {source} lacks {', '.join(missing)}; it holds "
                    f"{', '.join(archive.files) or 'nothing'}, expected {', '.join(NPZ_KEYS)}"
                )
            arrays = {key: archive[key] for key in NPZ_KEYS}
    except RequestError:
        raise
    except ValueError as error:
        if str(error).startswith("Object arrays"):
            raise RequestError(
                f"data.source: {source} holds Python objects (pickles), which are never loaded; "
                "save plain numeric arrays with numpy.savez"
            ) from error
        raise RequestError(f"data.source: {source} is damaged: {error}") from error
    except Exception as error:  # of zipfile, zlib, struct, numpy and its parser of headers: no common base class
        raise RequestError(f"data.source: {source} is damaged: {error}") from error
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy gives the bytes of a member that is no array
            raise RequestError(f"data.source: {source} is damaged: {key} is not an array")
    return arrays


def from_arrays(arrays: dict[str, np.ndarray], source: str, config: DataConfig) -> SplitData:
    """Check the four arrays and split off the validation examples."""
    for part in ("train", "test"):
        check_inputs(arrays[f"x_{part}"], f"x_{part}", source)
        check_labels(arrays[f"y_{part}"], f"y_{part}", source)
        check_lengths(arrays[f"x_{part}"], arrays[f"y_{part}"], part, source)
    if arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
        raise RequestError(
            f"data.source: {source}: the examples of x_train have shape {arrays['x_train'].shape[1:]}, "
            f"those of x_test {arrays['x_test'].shape[1:]}"
        )
    kinds = {part: arrays[f"x_{part}"].dtype for part in ("train", "test")}
    if (kinds["train"] == np.uint8) != (kinds["test"] == np.uint8):
        raise RequestError(
            f"data.source: {source}: x_train is {kinds['train']} and x_test {kinds['test']}; uint8 is divided by 255, "
            "other numbers are not: give both in the same type"
        )
    labels = {key: arrays[key].reshape(-1).astype(np.int32) for key in ("y_train", "y_test")}
    num_classes = int(max(label.max() for label in labels.values() if label.size)) + 1
    train, validation = held_out(Examples(x=as_images(arrays["x_train"]), y=labels["y_train"]), config)
    return SplitData(
        train=train,
        validation=validation,
        test=Examples(x=as_images(arrays["x_test"]), y=labels["y_test"]),
        divisor=255.0 if arrays["x_train"].dtype == np.uint8 else None,
        num_classes=num_classes,
        sha256={key: digest(array) for key, array in arrays.items()},
    )


def held_out(whole: Examples, config: DataConfig) -> tuple[Examples, Examples | None]:
    """The training and the validation part; RequestError when nothing is left to train on."""
    train, validation = hold_out(whole, config.validation_fraction)
    if train.size == 0:
        raise RequestError(
            f"data.validation_fraction: {config.validation_fraction} leaves none of {whole.size} examples to train on"
        )
    return train, validation


def as_images(x: np.ndarray) -> np.ndarray:
    """Bytes ``[N, H, W]`` get their channel axis, floats become float32; other numbers stay as they are.

    TensorFlow takes numbers in the byte order of the machine only.
    """
    if x.dtype == np.uint8:
        return x[..., np.newaxis] if x.ndim == 3 else x
    return x.astype(np.float32 if x.dtype.kind == "f" else x.dtype.newbyteorder("="), copy=False)


def check_inputs(x: np.ndarray, name: str, source: str) -> None:
    if x.ndim < 2 or x.shape[0] == 0 or x.size == 0:
        raise RequestError(f"data.source: {source}: {name} has shape {x.shape}; expected [N, ...] with N > 0")
    if x.dtype.kind not in "uif":
        raise RequestError(f"data.source: {source}: {name} has dtype {x.dtype}; expected numbers")
    if x.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        finite = np.isfinite(x.astype(np.float32, copy=False))
    if not finite.all():
        first = np.argwhere(~finite)[0]
        problem = "a number too large for float32" if np.isfinite(x[tuple(first)]) else "NaN or infinity"
        raise RequestError(
            f"data.source: {source}: {name} holds {problem}, first at index {tuple(int(i) for i in first)}"
        )


def check_labels(y: np.ndarray, name: str, source: str) -> None:
    if y.ndim not in (1, 2) or (y.ndim == 2 and y.shape[1] != 1):
        raise RequestError(f"data.source: {source}: {name} has shape {y.shape}; expected one label an example: [N]")
    if y.dtype.kind not in "ui":
        raise RequestError(f"data.source: {source}: {name} has dtype {y.dtype}; expected whole-number labels")
    if y.size and (int(y.min()) < 0 or int(y.max()) >= 100_000):
        raise RequestError(
            f"data.source: {source}: {name} holds label {int(y.min()) if y.min() < 0 else int(y.max())}; "
            "expected 0 to the number of classes minus 1"
        )


def check_lengths(x: object, y: object, part: str, source: str) -> None:
    lengths = {len(array) for tree in (x, y) for array in leaves(tree)}
    if len(lengths) != 1:
        raise RequestError(
            f"data.source: {source}: the {part} arrays have unequal lengths: "
            f"x {', '.join(str(len(a)) for a in leaves(x))}; y {', '.join(str(len(a)) for a in leaves(y))}"
        )


def from_entry_point(source: str, config: DataConfig) -> SplitData:
    """What the user's own ``load()`` gives: arrays in Keras' convention, or ``tf.data`` datasets."""
    given = call_entry_point("data.source", source, config=config)
    parts = tuple(given) if isinstance(given, tuple | list) else ()
    if len(parts) in (2, 3) and all(hasattr(part, "element_spec") for part in parts):
        return SplitData(train=parts[0], validation=parts[1], test=parts[2] if len(parts) == 3 else None)
    if len(parts) != 2 or not all(isinstance(part, tuple | list) and len(part) == 2 for part in parts):
        raise RequestError(
            f"data.source: {source} must return ((x_train, y_train), (x_test, y_test)), or the tf.data datasets "
            f"(train, validation) or (train, validation, test); got {type(given).__name__}"
        )
    (x_train, y_train), (x_test, y_test) = parts
    named = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    labels = (y_train, y_test)
    if all(isinstance(a, np.ndarray) for a in named.values()) and all(y.dtype.kind in "ui" for y in labels):
        return from_arrays(named, source, config)  # class labels: the same rules as for an .npz
    for x, y, part in ((x_train, y_train, "train"), (x_test, y_test, "test")):
        for array in (*leaves(x), *leaves(y)):
            if not isinstance(array, np.ndarray) or array.ndim == 0:
                raise RequestError(
                    f"data.source: {source}: the {part} part holds {type(array).__name__}; expected arrays"
                )
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise RequestError(f"data.source: {source}: the {part} arrays hold NaN or infinity")
        check_lengths(x, y, part, source)
    train, validation = held_out(Examples(x=x_train, y=y_train), config)
    return SplitData(
        train=train,
        validation=validation,
        test=Examples(x=x_test, y=y_test),
        num_classes=classes_of(y_train, y_test),
        sha256={name: digest(tree) for name, tree in named.items() if isinstance(tree, np.ndarray)},
    )


def classes_of(*targets: object) -> int | None:
    """C when every target is one int array of labels from 0 to C-1, else None."""
    labels = [y for y in targets if isinstance(y, np.ndarray) and y.dtype.kind in "ui" and y.ndim == 1 and y.size]
    if len(labels) != len(targets) or min(int(y.min()) for y in labels) < 0:
        return None
    return max(int(y.max()) for y in labels) + 1
