"""``data.augment``: a function of the user's that changes each training example every time it is taken.

What it draws depends on the seed, the epoch and the example alone, not on the worker that takes it.
"""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.config.entry_points import function_of
from nn_train.datasets.examples import Examples, IndexedExamples, SplitData, leaves, map_leaves, stacked
from nn_train.errors import RequestError

FIELD = "data.augment"


@dataclass(frozen=True)
class ArrayRows:
    """Examples in memory, by their numbers."""

    examples: Examples

    def __len__(self) -> int:
        return self.examples.size

    def take(self, index: NDArray[np.int64]) -> tuple[Any, ...]:
        return self.examples.take(index).parts

    def fingerprint(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True)
class Augmentation:
    """The function of this name, for whole batches: ``function(x, y, generator)`` gives ``(x, y)`` of one example."""

    name: str

    def __call__(self, examples: Examples, numbers: NDArray[np.int64], draws: tuple[int, int]) -> Examples:
        """Changed examples.

        Args:
            examples: as they are.
            numbers: which of the training examples they are, int64 ``[M]``.
            draws: the seed of the run, and the epoch counted from 0.

        Raises:
            RequestError: the function gives another form than it got.
        """
        function = function_of(FIELD, self.name)
        changed = []
        for place, number in enumerate(numbers.tolist()):
            own = map_leaves(map_leaves((examples.x, examples.y), [place]), 0)  # a copy, which it may change
            given = function(*own, np.random.default_rng((*draws, number)))
            self.check(own, given, number)
            changed.append(given)
        x, y = stacked(changed)
        return dataclasses.replace(examples, x=x, y=y)

    def check(self, own: tuple[Any, ...], given: object, number: int) -> None:
        """RequestError where the function does not give what it got: arrays of these shapes and dtypes."""
        if isinstance(given, tuple | list) and len(given) == 2 and form(given) == form(own):
            return
        raise RequestError(
            f"{FIELD}: {self.name} made {form(given)} of example {number}, expected (x, y) as it gets them: {form(own)}"
        )


def with_augmentation(data: SplitData, name: str | None) -> SplitData:
    """The same data, of which the training examples are changed when they are taken.

    Raises:
        RequestError: there is no such function, or the examples are a stream.
    """
    if name is None:
        return data
    if data.is_stream:
        raise RequestError(f"{FIELD}: the examples of a stream have no numbers; map them in the function that gives it")
    function = function_of(FIELD, name)
    try:
        inspect.signature(function).bind("x", "y", "generator")
    except TypeError as error:
        raise RequestError(f"{FIELD}: {name} must take (x, y, generator): {error}") from error
    train = data.train if isinstance(data.train, IndexedExamples) else IndexedExamples(ArrayRows(data.train))
    return dataclasses.replace(data, train=dataclasses.replace(train, augment=Augmentation(name)))


def form(tree: object) -> str:
    """Dtypes and shapes, in words."""
    return ", ".join(f"{np.asarray(leaf).dtype} {list(np.shape(leaf))}" for leaf in leaves(tree))
