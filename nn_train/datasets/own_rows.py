"""Examples that the user's objects give by their numbers: any with ``len()`` and ``[index]``, or Keras' PyDataset."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nn_train.config import DataConfig
from nn_train.datasets.arrays import as_images, as_weights, check_numbers, check_range, checked_names, split_data
from nn_train.datasets.examples import IndexedExamples, SplitData, leaves, map_leaves, stacked
from nn_train.datasets.tf_records import TfRecords
from nn_train.errors import RequestError

PARTS = {2: ("train", "test"), 3: ("train", "val", "test")}
KEPT_BATCHES = 4
EXPECTED = "expected (x, y) or (x, y, sample_weight)"


class Source(Protocol):
    """What gives examples ``(x, y)`` or ``(x, y, weight)``."""

    def __len__(self) -> int: ...

    def read(self, index: Sequence[int]) -> tuple[Any, ...]:
        """Those at ``index``, each part of them an array ``[M, …]`` or a tuple or dict of such."""


class OwnRows:
    """The rows of a source. One with code of the user's in Python is asked one request after the other, since that need
    not be made for threads.

    Where ``x`` is one array and ``y`` a whole number, they are treated as those of an ``.npz`` are.

    Args:
        source: gives them.
        where: names it in messages.
        classes: their number, where it is known.
    """

    def __init__(self, source: Source, where: str, classes: int | None) -> None:
        self.source, self.where, self.classes = source, where, classes
        self.lock = contextlib.nullcontext() if isinstance(source, TfRecords) else threading.Lock()
        if not len(source):
            raise RequestError(f"data.source: {where} has no example")
        x, y = source.read([0])[:2]
        for leaf in (np.asarray(leaf) for leaf in leaves(y)):
            if leaf.dtype.kind not in "uifb":
                raise RequestError(
                    f"data.source: {where}, example 0: its target is {leaf.dtype}; expected numbers, as labels whole "
                    "ones from 0"
                )
        self.has_labels = all(isinstance(leaf, np.ndarray) for leaf in (x, y)) and y.dtype.kind in "ui" and y.ndim == 1
        self.has_bytes = self.has_labels and x.dtype == np.uint8

    def __len__(self) -> int:
        return len(self.source)

    def take(self, index: NDArray[np.int64]) -> tuple[Any, ...]:
        with self.lock:
            x, y, *weight = self.source.read(index.tolist())
        if not self.has_labels:
            return x, y, *weight
        where = f"{self.where}, examples {', '.join(map(str, index[:3].tolist()))}{', …' if len(index) > 3 else ''}"
        check_numbers(x, "x", where)
        if y.dtype.kind not in "ui":
            raise RequestError(
                f"data.source: {where}: targets are {y.dtype}, and the first of all is a whole number; give one type"
            )
        check_range(y, "y", where)
        if self.classes is not None and int(y.max()) >= self.classes:
            raise RequestError(
                f"data.source: {where}: a label is {int(y.max())}, and {self.classes} classes have names"
            )
        weights = [as_weights(np.asarray(one), x, "sample_weight", where) for one in weight]
        return as_images(x), y.astype(np.int32), *weights

    def fingerprint(self) -> dict[str, str]:
        """Nothing but of files: what stands behind the user's objects is not known."""
        return self.source.fingerprint() if isinstance(self.source, TfRecords) else {}


class Items:
    """A source with an example at ``[index]``; those with ``__getitems__`` are asked for several at once."""

    def __init__(self, items: Any, where: str) -> None:
        self.items, self.where = items, where

    def __len__(self) -> int:
        return len(self.items)

    def read(self, index: Sequence[int]) -> tuple[Any, ...]:
        at_once = getattr(self.items, "__getitems__", None)
        given = [self.items[at] for at in index] if at_once is None else list(at_once(list(index)))
        for at, one in zip(index, given, strict=True):
            if not isinstance(one, tuple | list) or len(one) not in (2, 3):
                raise RequestError(f"data.source: {self.where}, example {at}: is {type(one).__name__}; {EXPECTED}")
        try:
            return tuple(stacked(parts) for parts in zip(*given, strict=True))
        except (ValueError, KeyError) as error:
            some = ", ".join(map(str, index[:3]))
            raise RequestError(
                f"data.source: {self.where}: the examples {some}, … are not alike: {error}; give all of them the same "
                "shape"
            ) from error


class BatchedRows:
    """A source with a batch of examples at ``[index]``, all but the last of one size: Keras' PyDataset.

    An example is read with its whole batch.
    """

    def __init__(self, batches: Any, where: str) -> None:
        self.batches, self.where = batches, where
        self.kept: OrderedDict[int, tuple[Any, ...]] = OrderedDict()
        count = len(batches)
        self.rows = self.size_of(0) if count else 0
        self.total = self.rows * (count - 1) + self.size_of(count - 1) if count else 0

    def check_size(self, number: int, size: int) -> None:
        """RequestError for a batch of another size than the first, but for a last one that is shorter."""
        is_last = number == len(self.batches) - 1
        if number and (size > self.rows or (size < self.rows and not is_last)):
            raise RequestError(
                f"data.source: {self.where}, batch {number}: has {size} examples, the first {self.rows}; only the last "
                "one may be shorter"
            )

    def size_of(self, number: int) -> int:
        return len(next(leaves(self.batch(number)[0])))

    def batch(self, number: int) -> tuple[Any, ...]:
        """A batch; the last few are kept."""
        if number not in self.kept:
            given = self.batches[number]
            if not isinstance(given, tuple | list) or len(given) not in (2, 3):
                raise RequestError(f"data.source: {self.where}, batch {number}: is {type(given).__name__}; {EXPECTED}")
            self.kept[number] = tuple(as_arrays(part) for part in given)
            self.check_size(number, len(next(leaves(self.kept[number][0]))))
            if len(self.kept) > KEPT_BATCHES:
                self.kept.popitem(last=False)
        self.kept.move_to_end(number)
        return self.kept[number]

    def __len__(self) -> int:
        return self.total

    def read(self, index: Sequence[int]) -> tuple[Any, ...]:
        numbers, places = np.divmod(np.asarray(index), self.rows)
        by_number = np.argsort(numbers, kind="stable")  # a batch is asked for once
        examples: list[Any] = [None] * len(index)
        for at in by_number.tolist():
            batch = self.batch(int(numbers[at]))
            examples[at] = map_leaves(batch, places[at])
        return tuple(stacked(parts) for parts in zip(*examples, strict=True))


def as_arrays(tree: Any) -> Any:
    """A tree of whatever NumPy makes arrays of, as arrays."""
    if isinstance(tree, dict):
        return {key: as_arrays(branch) for key, branch in tree.items()}
    return tuple(as_arrays(branch) for branch in tree) if isinstance(tree, tuple | list) else np.asarray(tree)


def are_indexable(parts: Sequence[object]) -> bool:
    """Whether each part has examples by their numbers, and is none of the arrays and structures that Keras takes."""
    plain = (tuple, list, dict, str, bytes, np.ndarray)
    return len(parts) in PARTS and all(
        hasattr(part, "__getitem__") and hasattr(part, "__len__") and not isinstance(part, plain) for part in parts
    )


def source_of(part: Any, where: str) -> Source:
    """Examples or batches of the user's as a source; ``where`` names it in messages."""
    if isinstance(part, TfRecords):
        return part
    keras = sys.modules.get("keras")  # who has a PyDataset has imported it
    return (BatchedRows if keras is not None and isinstance(part, keras.utils.PyDataset) else Items)(part, where)


def from_objects(parts: Sequence[object], source: str, config: DataConfig, names: Any) -> SplitData:
    """``(train, test)`` or ``(train, validation, test)``, each with ``len()`` and ``[index]``. RequestError."""
    named = None if names is None else checked_names(names, 0, source)
    classes = None if named is None else len(named)
    made: dict[str, OwnRows] = {}
    for name, part in zip(PARTS[len(parts)], parts, strict=True):
        where = f"{source}: the {name} part"
        made[name] = OwnRows(source_of(part, where), where, classes)
    if len({rows.has_bytes for rows in made.values()}) > 1:
        raise RequestError(
            f"data.source: {source}: x is uint8, which is divided by 255, in one part and not in another"
        )
    examples = {name: IndexedExamples(rows) for name, rows in made.items()}
    divisor = 255.0 if made["train"].has_bytes else None
    return split_data(examples, source, config, divisor, classes if made["train"].has_labels else None, names)
