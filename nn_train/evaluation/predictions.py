"""What a model answered on a test set, gathered so that every example is there exactly once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn_train.errors import TrainingError

BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"  # tasks: what the output of a model is for


class PredictionError(TrainingError):
    """Predictions are incomplete or contradict each other: a failure of the evaluation, exit code 1."""


class Shard(NamedTuple):
    """The part one worker predicted, in any order; it may be empty.

    ``example_id`` int [n], the row in the test set; ``y_true`` [n] or [n, K] as the task has it; ``outputs`` float
    [n, C] or [n, K], logits or predicted numbers.
    """

    example_id: NDArray[np.integer]
    y_true: NDArray[np.generic]
    outputs: NDArray[np.floating]


@dataclass(frozen=True)
class Predictions:
    """Class scores of all examples of a test set, sorted by id.

    Attributes:
        example_id: int64 [N], strictly increasing.
        y_true: int64 [N], in 0 … C - 1.
        logits: float32 [N, C], C at least 2; values that are not finite are kept, see ``problem``.

    Raises:
        PredictionError: a wrong type or shape, unsorted ids, or a label outside the classes.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("example_id", "y_true", "logits")

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
        check_increasing(ids)
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
    def task(self) -> str:
        """``binary`` or ``multiclass``."""
        return BINARY if self.classes == 2 else MULTICLASS

    @property
    def outputs(self) -> NDArray[np.float32]:
        """What the model gave: ``logits``."""
        return self.logits

    @property
    def problem(self) -> str | None:
        """Why no metric can be computed, or None."""
        return problem_of(self.logits, "logits")


@dataclass(frozen=True)
class NumberPredictions:
    """Predicted numbers of all examples of a test set, sorted by id.

    Attributes:
        example_id: int64 [N], strictly increasing.
        y_true: float64 [N, K], finite: the targets in their own units.
        y_pred: float32 [N, K]; values that are not finite are kept, see ``problem``.

    Raises:
        PredictionError: a wrong type or shape, unsorted ids, or a target that is not finite.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("example_id", "y_true", "y_pred")

    example_id: NDArray[np.int64]
    y_true: NDArray[np.float64]
    y_pred: NDArray[np.float32]

    def __post_init__(self) -> None:
        ids, targets, given = self.example_id, self.y_true, self.y_pred
        types = (ids.dtype.name, targets.dtype.name, given.dtype.name)
        if types != ("int64", "float64", "float32"):
            raise PredictionError(f"example_id, y_true, y_pred are {types}; expected int64, float64, float32")
        if given.ndim != 2 or not given.shape[1] or ids.shape != (len(given),) or targets.shape != given.shape:
            raise PredictionError(
                f"the targets have the shape {targets.shape} and the outputs of the model {given.shape}; a regression "
                "needs a number, or K numbers, for each example: both [N, K]"
            )
        check_increasing(ids)
        if not np.isfinite(targets).all():
            raise PredictionError("the test targets have NaN or infinity; remove or replace them in the data function")

    def __len__(self) -> int:
        return len(self.example_id)

    @property
    def task(self) -> str:
        """``regression``."""
        return REGRESSION

    @property
    def outputs(self) -> NDArray[np.float32]:
        """What the model gave: ``y_pred``."""
        return self.y_pred

    @property
    def problem(self) -> str | None:
        """Why no metric can be computed, or None."""
        return problem_of(self.y_pred, "predicted numbers")


AnyPredictions = Predictions | NumberPredictions
OF_TASK: dict[str, type[Predictions] | type[NumberPredictions]] = {
    BINARY: Predictions,
    MULTICLASS: Predictions,
    REGRESSION: NumberPredictions,
}


def problem_of(outputs: NDArray[np.float32], what: str) -> str | None:
    """Say why no metric can be computed from outputs [N, K]; None where it can."""
    if not len(outputs):
        return "the test set is empty"
    broken = int(np.count_nonzero(~np.isfinite(outputs).all(axis=1)))
    return f"the {what} of {broken} of {len(outputs)} examples are not finite" if broken else None


def check_increasing(ids: NDArray[np.int64]) -> None:
    """Raise PredictionError where an id is not larger than the one before."""
    if np.any(np.diff(ids) <= 0):
        raise PredictionError("example_id is not strictly increasing")


def merge_shards(shards: Iterable[Shard], num_examples: int, task: str = MULTICLASS) -> AnyPredictions:
    """The predictions of the whole test set from any number of shards, the same whatever the sharding.

    Args:
        shards: in any order; uneven and empty ones are fine.
        num_examples: size of the test set; the ids must be exactly 0 … ``num_examples - 1``.
        task: decides of what kind the targets and outputs are.

    Raises:
        PredictionError: an id is missing, unknown, or there twice.
    """
    filled = [shard for shard in shards if shard.example_id.size]
    columns = {part.outputs.shape[1] if part.outputs.ndim == 2 else -1 for part in filled}
    if len(columns) > 1:
        raise PredictionError(f"shards have outputs of different widths: {sorted(columns)}")
    if not filled:
        check_exactly_once(np.empty(0, np.int64), num_examples)
        raise PredictionError("the test set is empty: there is nothing to evaluate")
    ids = np.concatenate([part.example_id for part in filled]).astype(np.int64)
    check_exactly_once(ids, num_examples)
    order = np.argsort(ids, kind="stable")
    kind = OF_TASK[task]
    targets = np.concatenate([part.y_true for part in filled])
    targets = targets.astype(np.float64 if kind is NumberPredictions else np.int64)
    outputs = np.concatenate([part.outputs for part in filled]).astype(np.float32)
    return kind(ids[order], targets[order], outputs[order])


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
