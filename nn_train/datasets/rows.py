"""Examples that are not in memory: any of them is read when it is asked for, by its number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nn_train.datasets.examples import Examples
from nn_train.errors import TrainingError


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

    def forget(self) -> None:
        """Let what is read again be read anew, where the source keeps some of it."""
        rows: Any = self.rows
        while hasattr(rows, "rows"):  # of which those are a part, or made
            rows = rows.rows
        forget = getattr(getattr(rows, "source", None), "forget", None)
        if forget is not None:
            forget()

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
