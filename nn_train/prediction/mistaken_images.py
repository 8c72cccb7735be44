"""The images of what a model got wrong while it was most sure, kept while a worker goes through its test examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_train.evaluation import PredictionError, Predictions
from nn_train.evaluation.mistakes import confident_mistakes
from nn_train.evaluation.scores import score_rows

if TYPE_CHECKING:  # it imports TensorFlow, which nobody needs here
    from nn_train.engine.tensors import Nest

Images = dict[int, NDArray[Any]]  # by example id: [H, W, 1] or [H, W, 3]


class MistakenImages:
    """Keeps the images of those mistakes that the report would show if it had these rows alone.

    Attributes:
        images: of the rows so far.
    """

    def __init__(self) -> None:
        self.images: Images = {}
        self.kept: Predictions | None = None

    def look_at(self, x: Nest, ids: NDArray[np.int64], labels: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """A block of examples and what the model gave: ``x`` as it came, ids and labels [n], logits [n, C]."""
        if not are_images(x):
            return
        before = self.kept
        if before is not None:
            ids, labels = np.concatenate([before.example_id, ids]), np.concatenate([before.y_true, labels])
            logits = np.concatenate([before.logits, logits])
        try:
            rows = Predictions(ids, labels, logits)
        except PredictionError:
            return  # the evaluation says what is wrong
        mistakes = confident_mistakes(rows, score_rows(rows))
        worst = np.sort([mistake.row for mistake in mistakes]).astype(np.int64)
        first = len(ids) - len(x)  # of this block
        of_block = {int(ids[row]): np.asarray(x[int(row) - first]) for row in worst if row >= first}
        self.images = {
            i: image for i in ids[worst].tolist() if (image := self.images.get(i, of_block.get(i))) is not None
        }
        self.kept = Predictions(ids[worst], labels[worst], logits[worst])


def are_images(x: Nest) -> bool:
    """Whether examples [N, H, W, C] are of one or three channels, which can be shown."""
    shape = tuple(getattr(x, "shape", ()))
    return len(shape) == 4 and shape[-1] in (1, 3)
