"""By what test examples that are a stream are known again: every worker reads all of them, and a training none."""

from __future__ import annotations

import functools
import hashlib
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_train.errors import RequestError
from nn_train.prediction.scored_examples import DRAWS, labelled

if TYPE_CHECKING:
    from nn_train.config import Config

RowMark = tuple[int, int]


class StreamMarks:
    """What is noted of a test stream while it is read.

    Args:
        is_marked: whether the examples are, and not only the order of their labels.
    """

    def __init__(self, is_marked: bool) -> None:
        self.is_marked = is_marked
        self.labels = hashlib.sha256()
        self.marks: list[RowMark] = []

    def look_at(self, x: Any, labels: NDArray[np.int64]) -> None:
        """Note a block."""
        self.labels.update(labels.tobytes())
        if self.is_marked:
            self.marks += row_marks(x, labels)

    @property
    def order(self) -> str:
        """A digest of all labels in their order."""
        return self.labels.hexdigest()

    def refuse_drawn(self, config: Config) -> None:
        """Raise RequestError where the function of a run gives others than these when it is called again: a training
        does not read them, so that nothing is known of those that it had. In another order they may come."""
        from nn_train.datasets.known_again import SOME
        from nn_train.datasets.once import load_for_run

        if not self.marks:
            return
        again: list[RowMark] = []
        for batch in load_for_run(config).test.batch(SOME):
            is_first = not again
            again += row_marks(*labelled(batch[0], batch[1]))
            if is_first and [label for label, _ in again] == [label for label, _ in self.marks[: len(again)]]:
                return
        if sorted(again) != sorted(self.marks):
            raise RequestError(
                f"data.source: {config.data.source}: the test examples are others each time the function is called, "
                f"and may have been trained on; give the same{DRAWS}"
            )


def row_marks(x: Any, labels: NDArray[np.int64]) -> list[RowMark]:
    """Of each example of a block its label, and a CRC-32 of its inputs."""
    from nn_train.datasets.examples import contents, leaves

    arrays = [np.asarray(leaf) for leaf in leaves(x)]
    return [
        (
            label,
            functools.reduce(
                lambda mark, content: zlib.crc32(content, mark), contents(a[at : at + 1] for a in arrays), 0
            ),
        )
        for at, label in enumerate(labels.tolist())
    ]
