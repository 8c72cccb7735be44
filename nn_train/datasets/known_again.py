"""By what the examples that are held out are known again. A function of the user's may draw them by chance: then a run
that goes on, a trial after another or the evaluation would look at what was trained on before.

Compared are targets: inputs may be noisy, or computed otherwise on another machine. Floats are compared of some rows,
and not to the last digit, for the same reason.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import random
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from nn_train.config import DataConfig
from nn_train.config.options import is_entry_point
from nn_train.config.schema import BUILT_IN_DATA
from nn_train.datasets.examples import Examples, SplitData, contents, evenly, leaves
from nn_train.datasets.rows import IndexedExamples

SOME = 32  # examples that are not in memory, or have floats as targets
VALIDATION, TEST = "the validation targets", "the test targets"
ABOUT = " ~ "  # before the numbers of an array that are compared with a tolerance
OF_SPREAD, OF_SIZE = 1e-3, 1e-5


def known_by(data: SplitData, config: DataConfig) -> dict[str, str]:
    """What must be the same as long as a run goes on, by its name: of files all of them; of what a function gives the
    validation targets, the test targets where they are in memory, and the files that it reads by rows."""
    if config.source in BUILT_IN_DATA:  # known by their names
        return {}
    if not is_entry_point(config.source):
        return {**data.sha256, **data.fingerprint}
    parts = {VALIDATION: data.validation, TEST: data.test if data.in_memory else None}
    marks = {name: mark_of(part) for name, part in parts.items()}
    return {**data.fingerprint, **{name: mark for name, mark in marks.items() if mark}}


def noted_test(data: SplitData, config: DataConfig) -> dict[str, str]:
    """By what the evaluation knows the test examples again: the digests of arrays; of test rows that a function gives
    by their numbers a mark of their targets."""
    of_rows = is_entry_point(config.source) and isinstance(data.test, IndexedExamples)
    mark = mark_of(data.test) if of_rows else ""
    return {**data.sha256, "y_test": mark} if mark else data.sha256


def mark_of(part: object) -> str:
    """A mark of the targets and weights of a part. Empty where nothing can be compared: of streams, of no part, and of
    rows with targets that come out otherwise when they are read again."""
    if isinstance(part, Examples):
        return described(part.size, part, evenly(part.size, SOME))
    if not isinstance(part, IndexedExamples):
        return ""
    few, found = evenly(part.size, SOME), []
    with draws_kept():
        for _ in range(2):
            part.forget()
            found.append(described(part.size, part.take(few), np.arange(len(few))))
    return found[0] if found[0] == found[1] else ""


def described(size: int, examples: Examples, few: np.ndarray) -> str:
    """The SHA-256 of all targets but floats, and of each array of these ``few`` rows, a number each: their products
    with numbers drawn once and for all, since those of a row may have the same sum, as one-hot labels have."""
    targets = [leaf for tree in examples.parts[1:] for leaf in leaves(tree)]
    seen = hashlib.sha256(f"{size}".encode())
    for content in contents(leaf for leaf in targets if leaf.dtype.kind != "f"):
        seen.update(content)
    told = [seen.hexdigest()]
    for rows in (leaf[few].astype(np.float64) for leaf in targets if leaf.dtype.kind == "f"):
        flat = np.where(np.isfinite(rows), rows, 0).reshape(len(few), math.prod(rows.shape[1:]))
        weights = np.random.default_rng(0).normal(size=flat.shape[1])
        told.append(" ".join(f"{value:.9g}" for value in flat @ weights))
    return ABOUT.join(told)


def is_alike(noted: str, now: str) -> bool:
    """Whether two marks are of the same examples."""
    (digest, *before), (other, *after) = noted.split(ABOUT), now.split(ABOUT)
    pairs = zip(before, after, strict=False)
    return digest == other and len(before) == len(after) and all(are_near(*map(numbers_of, pair)) for pair in pairs)


def numbers_of(text: str) -> NDArray[np.float64]:
    return np.array(text.split(), np.float64)


def are_near(before: NDArray[np.float64], after: NDArray[np.float64]) -> bool:
    """Whether they differ by no more than what is left of a float32, or by a small part of what they differ from each
    other."""
    if before.shape != after.shape or not before.size:
        return before.shape == after.shape
    allowed = OF_SPREAD * float(before.std()) + OF_SIZE * float(np.abs(before).max())
    return bool((np.abs(before - after) <= allowed).all())


def changed_names(noted: Mapping[str, str], known: Mapping[str, str]) -> list[str]:
    """Which of ``known`` are others than was noted. Of targets none was noted where they could not be compared."""
    targets = (VALIDATION, TEST)
    changed = [name for name in known if name not in targets and noted.get(name) != known[name]]
    return sorted(changed) + [
        name for name in targets if name in known and name in noted and not is_alike(noted[name], known[name])
    ]


@contextlib.contextmanager
def draws_kept() -> Iterator[None]:
    """What Python's and NumPy's generators draw after it is as if nothing had been drawn within."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
