"""``nn-train run --check``: the first step of the first ``fit``, on one worker and on several, and no more."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import keras
import numpy as np

from nn_train.engine.draws import generators_kept
from nn_train.engine.fit import functions
from nn_train.engine.probe import Numbers, check_step, count_of, difference, first_rows, outcome
from nn_train.engine.random_state import random_states_kept
from nn_train.engine.spread import spread_step
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest
from nn_train.errors import EXIT_BAD_REQUEST, EXIT_DONE, RequestError

RETURNED = ", which it returns"  # how the probe calls what a step returns


def check_only() -> None:
    """Let the first ``fit`` of this process compare one step and end the script."""
    functions.check_step = compare_and_end


def compare_and_end(model: keras.Model, kind: str, data: Nest, workers: Replicas) -> None:
    """Check as ever, then tell of a step on the whole batch, and exit. Collective. Raises RequestError."""
    check_step(model, kind, data, workers)
    if kind != "train":
        return
    rows = first_rows(data, sys.maxsize)
    if rows is None:
        raise RequestError("--check: the first batch is sparse, ragged or of one row, and is not compared")
    with random_states_kept(), generators_kept():
        one, again = (outcome(model, model.train_step, rows) for _ in range(2))
        several = outcome(model, spread_step(model, "train_step", workers), rows)
    if difference(model, one, again):
        raise RequestError("--check: the step draws random numbers in a way of its own, and cannot be compared")
    found = difference(model, one, several)
    verdict = f"do not come to what one does: {found}" if found else f"come to what one does on {count_of(rows)} rows"
    if workers.is_chief:
        print(*lines(one, several, workers.size), f"{workers.size} workers {verdict}; nothing was trained", sep="\n")
    sys.exit(EXIT_BAD_REQUEST if found else EXIT_DONE)


def lines(one: Numbers, several: Numbers, size: int) -> Iterator[str]:
    """Yield a line for the loss, the gradient and the metrics of a step on one worker and on ``size``."""
    both = [key for key in one if key in several]
    pairs = {name: f"{one['', name]:.7g}, {several['', name]:.7g}" for _, name in both if name.endswith(RETURNED)}
    gradients = [(one[key], several[key]) for key in both if key[0] == "gradient"]
    yield f"loss      {pairs.pop('loss' + RETURNED, 'none is returned')} (on one worker, on {size})"
    most, apart = largest(first for first, _ in gradients), largest(first - second for first, second in gradients)
    yield f"gradient  {len(gradients)} arrays of up to {most:.3g}, which differ by {apart:.2g}"
    yield f"metrics   {'; '.join(f'{name.removesuffix(RETURNED)} {pair}' for name, pair in pairs.items()) or 'none'}"


def largest(arrays: Iterable[np.ndarray]) -> float:
    return max((float(np.max(np.abs(array), initial=0)) for array in arrays), default=0.0)
