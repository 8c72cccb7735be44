"""By what the examples that nobody trains on are known again. A function of the user's may draw them by chance: then a
run that goes on, a trial after another or the evaluation would look at what was trained on before.

Told are targets. Inputs may be computed otherwise on another machine, and those read by index cost time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from nn_train.config import DataConfig
from nn_train.config.options import is_entry_point
from nn_train.config.schema import BUILT_IN_DATA
from nn_train.datasets.examples import Examples, SplitData, contents, evenly
from nn_train.datasets.rows import IndexedExamples

SOME = 32  # examples that are not in memory
VALIDATION, TEST = "the validation targets", "the test targets"


def known_by(data: SplitData, config: DataConfig) -> dict[str, str]:
    """What must be the same as long as a run goes on, by its name: of files all of them; of what a function gives the
    targets of the validation and the test examples, and the files that it reads by rows."""
    if config.source in BUILT_IN_DATA:  # known by their names
        return {}
    if not is_entry_point(config.source):
        return {**data.sha256, **data.fingerprint}
    known = dict(data.fingerprint)
    if isinstance(data.validation, Examples | IndexedExamples):
        known[VALIDATION] = targets_of(data.validation)
    if "y_test" in data.sha256:
        known[TEST] = data.sha256["y_test"]
    return known


def targets_of(part: Examples | IndexedExamples) -> str:
    """The SHA-256 of the targets and weights of a part, or of some where they are read by index."""
    some = part if isinstance(part, Examples) else part.take(evenly(part.size, SOME))
    return digest_of(part.size, some.parts[1:])


def first_targets_of(labels: Any) -> str:
    """The same of a stream: of so many of the first labels [N] of its test examples, or all where there are fewer."""
    first = np.asarray(labels)[:SOME]
    return digest_of(0, first.astype(np.int64) if first.dtype.kind in "ui" else first)


def digest_of(size: int, targets: Any) -> str:
    seen = hashlib.sha256(f"{size}".encode())
    for content in contents([targets]):
        seen.update(content)
    return seen.hexdigest()


def with_test_stream_noted(data: SplitData) -> SplitData:
    """The same, with a digest of the first test targets where they are a stream; at once after it was given, so that
    what it draws while it is read is what it draws in the evaluation."""
    if not data.is_stream or data.test is None:
        return data
    with random_states_kept(), contextlib.suppress(Exception):  # of the user's code: the evaluation tells of it
        first = next(iter(data.test.batch(SOME).take(1)))
        return dataclasses.replace(data, sha256={"y_test": first_targets_of(first[1])})
    return data


@contextlib.contextmanager
def random_states_kept() -> Iterator[None]:
    """What draws after it draws as if nothing had drawn within it."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
