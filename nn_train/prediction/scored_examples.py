"""The test set of a run, in blocks: that of its training, or another of the same task; and the images of what a model
got wrong while it was most sure. No Ray here."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_train.config.options import is_entry_point
from nn_train.errors import RequestError
from nn_train.evaluation import PredictionError, Predictions
from nn_train.evaluation.mistakes import confident_mistakes
from nn_train.evaluation.scores import score_rows

if TYPE_CHECKING:
    from nn_train.config import Config
    from nn_train.config.schema import DataConfig
    from nn_train.datasets import SplitData
    from nn_train.engine.tensors import Nest

Images = dict[int, NDArray[Any]]  # by example id: [H, W, 1] or [H, W, 3]
Block = tuple[Any, NDArray[Any]]  # inputs and targets as they came
ENDLESS = -1  # the cardinality of a dataset: tf.data.INFINITE_CARDINALITY, for which TensorFlow need not be imported
BLOCK = 500  # rows; small enough for several workers to share 10,000 examples, large enough to be fast


def read_test_set(config: Config, result: dict[str, Any]) -> SplitData:
    """The data of a run, of which ``test`` is there and may be evaluated on.

    Args:
        config: of the run.
        result: of its ``result.json``; ``data.tested_on`` there names another source of the test examples.

    Raises:
        RequestError: there is no test set, or another one than when the run was trained.
    """
    from nn_train.datasets import load_test
    from nn_train.datasets.cache import load_for_run, seed_function

    about = result.get("data") or {}
    other = about.get("tested_on")
    if other is None:
        data = load_for_run(config.data, config.seed)
    else:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, source=other, args={}))
        seed_function(config.data.source, config.seed)
        data = load_test(config.data)
        refuse_unlike(data, about)
    if data.test is None:
        raise RequestError(f"data.source: {config.data.source} gives no test set to evaluate on")
    if is_stream(data) and int(data.test.cardinality()) == ENDLESS:
        raise RequestError("data.source: the test dataset has no end (repeat()?); give every example once")
    if other is None:
        refuse_other_data(data, config.data, result)
    return data


def is_stream(data: SplitData) -> bool:
    """Whether the test examples come one after another, and how many they are is not known before."""
    return not hasattr(data.test, "size")


def refuse_other_data(data: SplitData, config: DataConfig, result: dict[str, Any]) -> None:
    """Raise RequestError where the examples are not those of the training: of files those of the test part."""
    from nn_train.datasets.fingerprints import CONTRACT, PARTS

    about = result.get("data") or {}
    arrays, marks = about.get("sha256") or {}, about.get("fingerprint") or {}
    both = arrays.keys() & data.sha256.keys()  # older versions have noted something else of rows
    others = [name for name in ("x_test", "y_test") if name in both and arrays[name] != data.sha256[name]]
    now = {name: mark for name, mark in data.fingerprint.items() if name in PARTS} | getattr(data.test, "began", {})
    others = others or [name for name, mark in now.items() if marks.get(name, mark) != mark]
    if others:
        advice = f" {CONTRACT}." if is_entry_point(config.source) else ""
        raise RequestError(
            f"data.source: {config.source}: {' and '.join(others)} changed since the run was trained; give the "
            f"examples that it had then.{advice}"
        )


def refuse_unlike(data: SplitData, about: dict[str, Any]) -> None:
    """Raise RequestError where other test examples cannot be those of the same task.

    Args:
        about: what the result of the run says of its data.
    """
    where = f"data.source: {about['tested_on']}"
    if about.get("divisor", data.divisor) != data.divisor:
        words = ["bytes" if divisor else "numbers that are no bytes" for divisor in (about["divisor"], data.divisor)]
        raise RequestError(f"{where}: the run was trained on {words[0]}, and these examples are {words[1]}")
    classes, names = about.get("num_classes"), about.get("class_names")
    if classes and data.num_classes and data.num_classes > classes:
        raise RequestError(f"{where}: has the label {data.num_classes - 1}, and the run knows 0 to {classes - 1}")
    if names and names != [str(label) for label in range(len(names))] and list(data.class_names or names) != names:
        called = f"its classes are called {', '.join(data.class_names or ())}, those of the run {', '.join(names)}"
        raise RequestError(f"{where}: {called}")


def blocks(data: SplitData) -> Iterator[tuple[int, Callable[[], Block]]]:
    """The test set in blocks of ``BLOCK`` rows: how many a block has, and what reads it."""
    from nn_train.datasets.examples import leaves

    if is_stream(data):
        for batch in data.test.batch(BLOCK):
            yield len(next(leaves(batch[0]))), functools.partial(block_of, batch[0], batch[1])
        return

    def read(first: int, last: int) -> Block:
        examples = data.test.take(np.arange(first, last))
        return block_of(examples.x, examples.y)

    for first in range(0, data.test.size, BLOCK):
        last = min(first + BLOCK, data.test.size)
        yield last - first, functools.partial(read, first, last)


def block_of(x: object, y: object) -> Block:
    """Return a block. RequestError where its targets are several arrays."""
    if isinstance(y, dict | tuple | list):
        raise RequestError("data.source: the test targets are those of several outputs, and a report needs one")
    return x, np.asarray(y)


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
