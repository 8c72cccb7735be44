"""Arrays of examples: what can be learned from them, and how they are split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nn_train.config import DataConfig
from nn_train.datasets.examples import Examples, SplitData, digest, hold_out, leaves
from nn_train.errors import RequestError

# By the part, the array of its weights; those of the test examples would change nothing.
WEIGHTS = {"train": "sample_weight", "val": "sample_weight_val", "test": ""}


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
    given = [part for part in WEIGHTS if f"x_{part}" in arrays or f"y_{part}" in arrays]
    if WEIGHTS["val"] in arrays and "val" not in given:
        raise RequestError(f"data.source: {source}: {WEIGHTS['val']} is given without x_val and y_val")
    for part in given:
        check_part(arrays, part, source)
    parts = {
        part: Examples(
            x=as_images(arrays[f"x_{part}"]),
            y=arrays[f"y_{part}"].reshape(-1).astype(np.int32),
            weight=as_weights(arrays.get(WEIGHTS[part]), arrays[f"x_{part}"], WEIGHTS[part], source),
        )
        for part in given
    }
    train, validation = with_validation(parts["train"], parts.get("val"), config)
    classes = int(max(part.y.max() for part in parts.values() if part.y.size)) + 1
    names = None if class_names is None else checked_names(class_names, classes, source)
    return SplitData(
        train=train,
        validation=validation,
        test=parts["test"],
        divisor=255.0 if arrays["x_train"].dtype == np.uint8 else None,
        num_classes=classes if names is None else len(names),
        class_names=names,
        sha256={key: digest(array) for key, array in arrays.items()},
    )


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


def check_part(arrays: dict[str, np.ndarray], part: str, source: str) -> None:
    """The examples of one part, which are like those of training."""
    x, y = f"x_{part}", f"y_{part}"
    if x not in arrays or y not in arrays:
        raise RequestError(f"data.source: {source}: of {x} and {y} one is missing; give both or none")
    check_inputs(arrays[x], x, source)
    check_labels(arrays[y], y, source)
    check_lengths(arrays[x], arrays[y], part, source)
    if arrays["x_train"].shape[1:] != arrays[x].shape[1:]:
        raise RequestError(
            f"data.source: {source}: the examples of x_train have shape {arrays['x_train'].shape[1:]}, "
            f"those of {x} {arrays[x].shape[1:]}"
        )
    if (arrays["x_train"].dtype == np.uint8) != (arrays[x].dtype == np.uint8):
        raise RequestError(
            f"data.source: {source}: x_train is {arrays['x_train'].dtype} and {x} {arrays[x].dtype}; uint8 is divided "
            "by 255, other numbers are not: give both in the same type"
        )


def as_weights(weights: np.ndarray | None, x: np.ndarray, name: str, source: str) -> np.ndarray | None:
    """Weights of examples as float32 [N]; RequestError where they are none."""
    if weights is None:
        return None
    is_number = weights.dtype.kind in "uif" and weights.shape == (len(x),)
    if not is_number or not np.isfinite(weights).all() or (weights < 0).any():
        raise RequestError(
            f"data.source: {source}: {name} has shape {weights.shape} and dtype {weights.dtype}; expected a number of "
            f"at least 0 for each of {len(x)} examples"
        )
    return weights.astype(np.float32)


def with_validation(whole: Examples, given: Examples | None, config: DataConfig) -> tuple[Examples, Examples | None]:
    """The training and the validation part; RequestError when nothing is left to train on."""
    if given is not None:
        return whole, given
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


def check_inputs(x: np.ndarray, name: str, source: str, field: str = "data.source") -> None:
    if x.ndim < 2 or x.shape[0] == 0 or x.size == 0:
        raise RequestError(f"{field}: {source}: {name} has shape {x.shape}; expected [N, ...] with N > 0")
    if x.dtype.kind not in "uif":
        raise RequestError(f"{field}: {source}: {name} has dtype {x.dtype}; expected numbers")
    if x.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        finite = np.isfinite(x.astype(np.float32, copy=False))
    if not finite.all():
        first = np.argwhere(~finite)[0]
        problem = "a number too large for float32" if np.isfinite(x[tuple(first)]) else "NaN or infinity"
        raise RequestError(f"{field}: {source}: {name} holds {problem}, first at index {tuple(int(i) for i in first)}")


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
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise RequestError(f"data.source: {source}: the {part} arrays hold NaN or infinity")
    check_lengths(trees[0], trees[1:], part, source)


def classes_of(*targets: object) -> int | None:
    """C when every target is one int array of labels from 0 to C-1, else None."""
    labels = [y for y in targets if isinstance(y, np.ndarray) and y.dtype.kind in "ui" and y.ndim == 1 and y.size]
    if len(labels) != len(targets) or min(int(y.min()) for y in labels) < 0:
        return None
    return max(int(y.max()) for y in labels) + 1
