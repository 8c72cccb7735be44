"""What a model answered on a test set, gathered so that every example is there exactly once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_train.errors import TrainingError


class PredictionError(TrainingError):
    """Predictions are incomplete or contradict each other: a failure of the evaluation, exit code 1."""


class Shard(NamedTuple):
    """The part one worker predicted, in any order; it may be empty.

    ``example_id`` int [n], the row in the test set; ``y_true`` int [n]; ``logits`` float [n, C].
    """

    example_id: NDArray[np.integer]
    y_true: NDArray[np.integer]
    logits: NDArray[np.floating]


@dataclass(frozen=True)
class Predictions:
    """All examples of a test set, sorted by id.

    Attributes:
        example_id: int64 [N], strictly increasing.
        y_true: int64 [N], in 0 … C - 1.
        logits: float32 [N, C], C at least 2; values that are not finite are kept, see ``problem``.

    Raises:
        PredictionError: a wrong type or shape, unsorted ids, or a label outside the classes.
    """

    example_id: NDArray[np.int64]
    y_true: NDArray[np.int64]
    logits: NDArray[np.float32]

    def __post_init__(self) -> None:
        ids, labels, logits = self.example_id, self.y_true, self.logits
        types = (ids.dtype.name, labels.dtype.name, logits.dtype.name)
        if types != ("int64", "int64", "float32"):
            raise PredictionError(f"example_id, y_true, logits are {types}; expected int64, int64, float32")
        if logits.ndim != 2 or logits.shape[1] < 2 or ids.shape != (len(logits),) or labels.shape != ids.shape:
            raise PredictionError(
                f"example_id, y_true, logits have shapes {ids.shape}, {labels.shape}, {logits.shape}; expected [N], "
                "[N], [N, C] with C at least 2 (a single sigmoid output z is written as the two columns 0 and z)"
            )
        if np.any(np.diff(ids) <= 0):
            raise PredictionError("example_id is not strictly increasing")
        if len(labels) and (labels.min() < 0 or labels.max() >= self.classes):
            raise PredictionError(
                f"y_true spans {labels.min()} to {labels.max()}, the model has {self.classes} outputs "
                f"(0 to {self.classes - 1})"
            )

    def __len__(self) -> int:
        return len(self.example_id)

    @property
    def classes(self) -> int:
        """The number of columns of ``logits``."""
        return int(self.logits.shape[1])

    @property
    def problem(self) -> str | None:
        """Why no metric can be computed, or None."""
        if not len(self):
            return "the test set is empty"
        broken = int(np.count_nonzero(~np.isfinite(self.logits).all(axis=1)))
        return f"the logits of {broken} of {len(self)} examples are not finite" if broken else None


def merge_shards(shards: Iterable[Shard], num_examples: int) -> Predictions:
    """The predictions of the whole test set from any number of shards, the same whatever the sharding.

    Args:
        shards: in any order; uneven and empty ones are fine.
        num_examples: size of the test set; the ids must be exactly 0 … ``num_examples - 1``.

    Raises:
        PredictionError: an id is missing, unknown, or there twice.
    """
    filled = [shard for shard in shards if shard.example_id.size]
    columns = {part.logits.shape[1] if part.logits.ndim == 2 else -1 for part in filled}
    if len(columns) > 1:
        raise PredictionError(f"shards have logits of different widths: {sorted(columns)}")
    if not filled:
        check_exactly_once(np.empty(0, np.int64), num_examples)
        raise PredictionError("the test set is empty: there is nothing to evaluate")
    ids = np.concatenate([part.example_id for part in filled]).astype(np.int64)
    check_exactly_once(ids, num_examples)
    order = np.argsort(ids, kind="stable")
    return Predictions(
        example_id=ids[order],
        y_true=np.concatenate([part.y_true for part in filled]).astype(np.int64)[order],
        logits=np.concatenate([part.logits for part in filled]).astype(np.float32)[order],
    )


def check_exactly_once(ids: NDArray[np.int64], num_examples: int) -> None:
    """Raise PredictionError unless ``ids`` is a permutation of 0 … ``num_examples - 1``."""
    unknown = ids[(ids < 0) | (ids >= num_examples)]
    if unknown.size:
        raise PredictionError(
            f"predictions for unknown examples: {first_ids(unknown)}; ids are 0 to {num_examples - 1}"
        )
    counts = np.bincount(ids, minlength=num_examples)
    twice, missing = np.flatnonzero(counts > 1), np.flatnonzero(counts == 0)
    if twice.size:
        raise PredictionError(f"{twice.size} examples were predicted more than once: {first_ids(twice)}")
    if missing.size:
        raise PredictionError(f"{missing.size} of {num_examples} examples were not predicted: {first_ids(missing)}")


def first_ids(ids: NDArray[np.int64]) -> str:
    """The first five ids in words."""
    return ", ".join(str(i) for i in ids[:5]) + (", …" if ids.size > 5 else "")
