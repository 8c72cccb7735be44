"""Arrays of examples: what can be learned from them, and how they are split."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nn_train.config import DataConfig
from nn_train.datasets.examples import Examples, Part, SplitData, digest, hold_out, leaves
from nn_train.datasets.npy_file import NpyFile
from nn_train.errors import RequestError

# By the part, the array of its weights; those of the test examples would change nothing.
WEIGHTS = {"train": "sample_weight", "val": "sample_weight_val", "test": ""}
Form = np.ndarray | NpyFile  # what has a shape and a dtype
MOST_TO_SPLIT = 10_000_000  # examples, of those that are read by index


def names_of(part: str) -> tuple[str, str, str]:
    """The names of a part's arrays in an ``.npz``: examples, targets, weights."""
    return f"x_{part}", f"y_{part}", WEIGHTS[part]


def from_arrays(
    arrays: dict[str, np.ndarray],
    source: str,
    config: DataConfig,
    class_names: Sequence[str] | np.ndarray | None = None,
) -> SplitData:
    """Check the arrays, and split off the validation examples where none are given."""
    given = checked_parts(arrays, source)
    for part in given:
        check_numbers(arrays[f"x_{part}"], f"x_{part}", source)
        check_range(arrays[f"y_{part}"], f"y_{part}", source)
    parts = {
        part: Examples(
            x=as_images(arrays[f"x_{part}"]),
            y=arrays[f"y_{part}"].reshape(-1).astype(np.int32),
            weight=as_weights(arrays.get(WEIGHTS[part]), arrays[f"x_{part}"], WEIGHTS[part], source),
        )
        for part in given
    }
    classes = int(max(part.y.max() for part in parts.values() if part.y.size)) + 1
    data = split_data(parts, source, config, divisor_of(arrays[f"x_{given[0]}"]), classes, class_names)
    return dataclasses.replace(data, sha256={key: digest(array) for key, array in arrays.items()})


def split_data(
    parts: Mapping[str, Any],
    source: str,
    config: DataConfig,
    divisor: float | None = None,
    classes: int | None = None,
    class_names: Sequence[str] | np.ndarray | None = None,
) -> SplitData:
    """Return the parts ``train``, perhaps ``val``, and ``test`` of a source, of one kind.

    Args:
        parts: by name, in this order. Where nothing but ``test`` is given, it stands for ``train`` as well.
        source, config: of these.
        divisor: of image bytes; 1 in its place where ``data.scale`` is none.
        classes: how many occur, where the targets are class labels; there may be more names.
        class_names: where the source has them.

    Raises:
        RequestError: nothing is left to train on, or the names are none.
    """
    if divisor is not None and config.scale == "none":
        divisor = 1.0
    train, validation = with_validation(next(iter(parts.values())), parts.get("val"), config)
    names = None if class_names is None else checked_names(class_names, classes or 0, source)
    marks = {file: mark for part in parts.values() for file, mark in getattr(part, "began", {}).items()}
    if classes is not None and names is not None:
        classes = len(names)
    return SplitData(train, validation, parts.get("test"), divisor, classes, names, fingerprint=marks)


def checked_names(given: Sequence[str] | np.ndarray, classes: int, source: str) -> tuple[str, ...]:
    """Names of the classes 0, 1, …, of which some may occur in no example. RequestError where they are none."""
    names = tuple(str(name) for name in np.asarray(given).reshape(-1))
    if np.asarray(given).ndim != 1 or np.asarray(given).dtype.kind != "U" or len(names) < classes:
        raise RequestError(
            f"data.source: {source}: class_names has shape {np.asarray(given).shape} and dtype "
            f"{np.asarray(given).dtype}; expected a text for each of the {classes} classes"
        )
    if len(set(names)) < len(names) or not all(name.strip() and name.isprintable() for name in names):
        raise RequestError(f"data.source: {source}: class_names holds a name twice, or one that cannot be shown")
    return names


def divisor_of(x: Form) -> float | None:
    """Return what the numbers of examples are divided by before a model sees them."""
    return 255.0 if x.dtype == np.uint8 else None


def checked_parts(arrays: Mapping[str, Form], source: str) -> list[str]:
    """Return which parts are given. RequestError where the form of one is wrong."""
    given = [part for part in WEIGHTS if f"x_{part}" in arrays or f"y_{part}" in arrays]
    if WEIGHTS["val"] in arrays and "val" not in given:
        raise RequestError(f"data.source: {source}: {WEIGHTS['val']} is given without x_val and y_val")
    for part in given:
        check_part(arrays, part, source)
    return given


def check_part(arrays: Mapping[str, Form], part: str, source: str) -> None:
    """The form of one part's examples, which are like those of training: shapes and dtypes, also of ``NpyFile``."""
    x, y = f"x_{part}", f"y_{part}"
    if x not in arrays or y not in arrays:
        raise RequestError(f"data.source: {source}: of {x} and {y} one is missing; give both or none")
    check_inputs(arrays[x], x, source)
    check_labels(arrays[y], y, source)
    check_weights(arrays.get(WEIGHTS[part]), len(arrays[x]), WEIGHTS[part], source)
    check_lengths(arrays[x], arrays[y], part, source)
    like = arrays.get("x_train", arrays[x])
    if like.shape[1:] != arrays[x].shape[1:]:
        raise RequestError(
            f"data.source: {source}: the examples of x_train have shape {like.shape[1:]}, "
            f"those of {x} {arrays[x].shape[1:]}"
        )
    if divisor_of(like) != divisor_of(arrays[x]):
        raise RequestError(
            f"data.source: {source}: x_train is {like.dtype} and {x} {arrays[x].dtype}; uint8 is divided "
            "by 255, other numbers are not: give both in the same type"
        )


def check_weights(weights: Form | None, count: int, name: str, source: str) -> None:
    """RequestError where there are weights that are not a number for each of ``count`` examples."""
    if weights is not None and (weights.dtype.kind not in "uif" or weights.shape != (count,)):
        raise no_weights(weights, count, name, source)


def as_weights(weights: np.ndarray | None, x: np.ndarray, name: str, source: str) -> np.ndarray | None:
    """Weights of examples as float32 [N]; RequestError where one is negative, NaN or infinite."""
    if weights is None:
        return None
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise no_weights(weights, len(x), name, source)
    return weights.astype(np.float32)


def no_weights(weights: Form, count: int, name: str, source: str) -> RequestError:
    return RequestError(
        f"data.source: {source}: {name} has shape {weights.shape} and dtype {weights.dtype}; expected a number of at "
        f"least 0 for each of {count} examples"
    )


def with_validation(whole: Part, given: Part | None, config: DataConfig) -> tuple[Part, Part | None]:
    """The training and the validation part, of one kind; RequestError when nothing is left to train on."""
    if given is not None:
        return whole, given
    if config.validation_fraction and not isinstance(whole, Examples) and whole.size > MOST_TO_SPLIT:
        raise RequestError(
            f"data.validation_fraction: {config.validation_fraction} of {whole.size} examples would be a list of these "
            f"in every worker, which is made of up to {MOST_TO_SPLIT}; give validation examples of their own, or 0"
        )
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


def check_inputs(x: Form, name: str, source: str, field: str = "data.source") -> None:
    """RequestError where an array has no shape and dtype of examples."""
    if x.dtype.kind not in "uif":
        raise RequestError(
            f"{field}: {source}: {name} has dtype {x.dtype}; expected numbers. A function of your own gives texts by "
            "the name of the model's input: {'text': [...]}"
        )
    if x.ndim < 2 or x.shape[0] == 0 or x.size == 0:
        raise RequestError(f"{field}: {source}: {name} has shape {x.shape}; expected [N, ...] with N > 0")


def check_numbers(x: np.ndarray, name: str, source: str, field: str = "data.source") -> None:
    """RequestError where a number would be NaN or infinite as float32."""
    if x.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        finite = np.isfinite(x.astype(np.float32, copy=False))
    if not finite.all():
        first = np.argwhere(~finite)[0]
        problem = "a number too large for float32" if np.isfinite(x[tuple(first)]) else "NaN or infinity"
        raise RequestError(f"{field}: {source}: {name} holds {problem}, first at index {tuple(int(i) for i in first)}")


def check_labels(y: Form, name: str, source: str) -> None:
    """RequestError where an array has no shape and dtype of labels."""
    if y.ndim not in (1, 2) or (y.ndim == 2 and y.shape[1] != 1):
        raise RequestError(
            f"data.source: {source}: {name} has shape {y.shape}; expected one label an example: [N]. From a function "
            "of your own targets of other shapes are given as float32"
        )
    if y.dtype.kind not in "ui":
        raise RequestError(f"data.source: {source}: {name} has dtype {y.dtype}; expected whole-number labels")


def check_range(y: np.ndarray, name: str, source: str) -> None:
    """RequestError where a label is negative, or absurd."""
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


def check_trees(trees: tuple[Any, ...], part: str, source: str) -> None:
    """The arrays of one part, of any structure."""
    for array in (array for tree in trees for array in leaves(tree)):
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            raise RequestError(f"data.source: {source}: the {part} part holds {type(array).__name__}; expected arrays")
        if array.dtype.kind in "USO" and any(array is target for target in leaves(trees[1])):
            raise RequestError(
                f"data.source: {source}: the {part} labels are {array.dtype}; give whole numbers from 0, and at the "
                "end the names of the classes"
            )
        check_numbers(array, f"the {part} part", source)
    check_lengths(trees[0], trees[1:], part, source)


def classes_of(*targets: object) -> int | None:
    """C when every target is one int array of labels from 0 to C-1, else None."""
    labels = [y for y in targets if isinstance(y, np.ndarray) and y.dtype.kind in "ui" and y.ndim == 1 and y.size]
    if len(labels) != len(targets) or min(int(y.min()) for y in labels) < 0:
        return None
    return max(int(y.max()) for y in labels) + 1
