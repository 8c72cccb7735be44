"""``nn-train run --check``: the first step of the first ``fit``, on one worker and on several, and no more."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import keras
import numpy as np

from nn_train.engine.draws import generators_kept
from nn_train.engine.fit import functions
from nn_train.engine.probe import Numbers, check_step, count_of, difference, first_rows, outcome
from nn_train.engine.random_state import random_states_kept
from nn_train.engine.spread import spread_step
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest
from nn_train.errors import EXIT_DONE, RequestError

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
    if workers.is_chief:
        print(*lines(one, several, workers.size), sep="\n")
    if found := difference(model, one, several):
        raise RequestError(f"--check: {workers.size} workers do not come to what one does: {found}")
    if workers.is_chief:
        print(f"{workers.size} workers come to what one does in a step of {count_of(rows)} rows; nothing was trained")
    sys.exit(EXIT_DONE)


def lines(one: Numbers, several: Numbers, size: int) -> Iterator[str]:
    """Yield a line for the loss, the gradient and the metrics of a step on one worker and on ``size``."""
    returned = [name for _, name in one if name.endswith(RETURNED) and ("", name) in several]
    pairs = {name.removesuffix(RETURNED): f"{one['', name]:.7g}, {several['', name]:.7g}" for name in returned}
    yield f"loss      {pairs.pop('loss', 'none is returned')} (on one worker, on {size})"
    gradients = [key for key in one if key[0] == "gradient" and key in several]
    largest = max((float(np.max(np.abs(one[key]), initial=0)) for key in gradients), default=0.0)
    apart = max((float(np.max(np.abs(one[key] - several[key]), initial=0)) for key in gradients), default=0.0)
    yield f"gradient  {len(gradients)} arrays of up to {largest:.3g}, which differ by {apart:.2g}"
    yield f"metrics   {'; '.join(f'{name} {values}' for name, values in pairs.items()) or 'none'}"
