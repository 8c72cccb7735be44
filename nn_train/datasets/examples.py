"""What a data set is once it is loaded: arrays in memory, or rows that are read when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from nn_train.errors import TrainingError

# The split must not depend on the seed of a run: runs that differ in the seed are compared on the same
# validation examples, and a search selects on them.
SPLIT_SEED = 20_585


@dataclass(frozen=True)
class Examples:
    """Arrays held in memory; all have the same first dimension N.

    Attributes:
        x: one array ``[N, ...]``, or a tuple or dict of them for models of several inputs.
        y: the targets in the same manner; for a classifier one int array ``[N]``.
        weight: how much each counts in the loss, float ``[N]`` (or for each target, in the manner of ``y``); or None.
    """

    x: Any
    y: Any
    weight: Any = None

    @property
    def size(self) -> int:
        """N, the number of examples."""
        return len(next(leaves(self.x)))

    def take(self, index: np.ndarray) -> Examples:
        """The examples at ``index`` (int ``[M]``), copied."""
        weight = None if self.weight is None else map_leaves(self.weight, index)
        return Examples(x=map_leaves(self.x, index), y=map_leaves(self.y, index), weight=weight)

    subset = take

    @property
    def parts(self) -> tuple[Any, ...]:
        """``(x, y)`` or ``(x, y, weight)``, as Keras takes it."""
        return (self.x, self.y) if self.weight is None else (self.x, self.y, self.weight)


@dataclass(frozen=True)
class SplitData:
    """Training, validation and test examples of one source.

    Attributes:
        train, validation, test: ``Examples``; ``IndexedExamples`` where rows are read by their numbers;
            or ``tf.data.Dataset`` of single examples ``(x, y)`` or ``(x, y, sample_weight)``; all of one kind.
            Validation and test may be None.
        divisor: what image bytes are divided by before the model sees them (255, or 1), or None.
        num_classes: C, when the targets are class labels 0 … C-1; else None.
        class_names: what these are called, where the source says so.
        sha256: hex digest of each array's bytes, by the array's name in the source.
        fingerprint: what must not change, by its name: of files that are read by rows, and of each part that a user's
            function gives.
        first: the first examples of a stream by the name of their part, read once: each pass may shuffle anew.
    """

    train: Any
    validation: Any
    test: Any
    divisor: float | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    fingerprint: dict[str, str] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)

    @property
    def in_memory(self) -> bool:
        """Whether the examples are arrays."""
        return isinstance(self.train, Examples)

    @property
    def is_stream(self) -> bool:
        """Whether they come one after the other (``tf.data``), so that none can be asked for."""
        return not hasattr(self.train, "size")


def leaves(tree: Any) -> Iterator[np.ndarray]:
    """The arrays in a (nested) tuple, list or dict."""
    if isinstance(tree, dict):
        for key in sorted(tree):
            yield from leaves(tree[key])
    elif isinstance(tree, tuple | list):
        for branch in tree:
            yield from leaves(branch)
    else:
        yield tree


def contents(trees: Iterable[Any]) -> Iterator[bytes | memoryview]:
    """The bytes of every array in some trees, of texts what is printed of them."""
    for array in (leaf for tree in trees for leaf in leaves(tree) if leaf is not None):
        is_text = array.dtype.hasobject or array.dtype.kind == "U"
        yield repr(array.tolist()).encode() if is_text else np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def evenly(size: int, count: int) -> np.ndarray:
    """``count`` numbers from 0 to ``size`` - 1, the first and the last among them, or all that there are."""
    return np.unique(np.linspace(0, size - 1, min(count, size)).astype(np.int64))


def map_leaves(tree: Any, index: Any) -> Any:
    """``tree`` with every array indexed by ``index``."""
    if isinstance(tree, dict):
        return {key: map_leaves(branch, index) for key, branch in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(map_leaves(branch, index) for branch in tree)
    return tree[index]


Part = TypeVar("Part", Examples, "IndexedExamples")  # of which there is a known number, and any can be had


def stacked(trees: Sequence[Any]) -> Any:
    """One tree of arrays ``[M, …]`` of M trees of arrays or numbers."""
    first = trees[0]
    if isinstance(first, dict):
        return {key: stacked([tree[key] for tree in trees]) for key in first}
    if isinstance(first, tuple | list):
        return tuple(stacked(branches) for branches in zip(*trees, strict=True))
    return np.stack([np.asarray(tree) for tree in trees])


def hold_out(examples: Part, fraction: float) -> tuple[Part, Part | None]:
    """Split off ``round(N * fraction)`` examples for validation, the same ones for every run and seed."""
    held = round(examples.size * fraction)
    if held == 0:
        return examples, None
    order = np.random.default_rng(SPLIT_SEED).permutation(examples.size)
    return examples.subset(np.sort(order[held:])), examples.subset(np.sort(order[:held]))


def digest(array: np.ndarray) -> str:
    """SHA-256 of the array's bytes in C order, as hex."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


class Rows(Protocol):
    """Examples by their numbers 0 … N-1. Asked by several threads at once."""

    def __len__(self) -> int:
        """N."""

    def take(self, index: NDArray[np.int64]) -> tuple[Any, ...]:
        """``(x, y)`` or ``(x, y, weight)`` of the examples at ``index`` (int64 ``[M]``), in that order.

        Each is an array ``[M, …]``, or a tuple or dict of them, as in ``Examples``; of the same shapes and dtypes
        whatever the index is.

        Raises:
            RequestError: an example that cannot be learned from; names file and row.
            TrainingError: what could be read before cannot be read now; names file and row.
        """

    def fingerprint(self) -> dict[str, str]:
        """By the name of a file what must not change while the examples are used, such as its size and time."""


@dataclass(frozen=True)
class IndexedExamples:
    """One part of a data set, read by index.

    Attributes:
        rows: what is read.
        began: their fingerprint when this was made.
        augment: changes examples, called with them, their numbers and ``(seed, epoch)``; None: nothing does.
    """

    rows: Rows
    began: dict[str, str] = field(default_factory=dict)
    augment: Callable[[Examples, NDArray[np.int64], tuple[int, int]], Examples] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "began", self.began or self.rows.fingerprint())

    @property
    def size(self) -> int:
        """N, the number of examples."""
        return len(self.rows)

    def take(self, index: NDArray[np.int64], draws: tuple[int, int] | None = None) -> Examples:
        """The examples at ``index`` (int ``[M]``), in memory; for training by ``draws``, ``(seed, epoch)``."""
        index = np.asarray(index, np.int64)
        examples = Examples(*self.rows.take(index))
        if self.augment is None or draws is None or not len(index):
            return examples
        return self.augment(examples, index, draws)

    def subset(self, index: NDArray[np.int64]) -> IndexedExamples:
        """Those at ``index`` (int ``[M]``, below 2**31)."""
        return IndexedExamples(Subset(self.rows, index.astype(np.int32)), self.began)

    def check_unchanged(self) -> None:
        """TrainingError where a file is not what it was when this was made."""
        now = self.rows.fingerprint()
        for file, before in self.began.items():
            if now.get(file) != before:
                raise TrainingError(
                    f"data.source: {file} changed since the run began ({before}; now {now.get(file, 'it is gone')}); "
                    "put it back as it was and start the same command again, or give another --name"
                )


@dataclass(frozen=True)
class Subset:
    """Some of the rows.

    Attributes:
        rows: of these.
        index: which, int32 ``[N]``.
    """

    rows: Rows
    index: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.index)

    def take(self, index: NDArray[np.int64]) -> tuple[Any, ...]:
        return self.rows.take(self.index[index].astype(np.int64))

    def fingerprint(self) -> dict[str, str]:
        return self.rows.fingerprint()
