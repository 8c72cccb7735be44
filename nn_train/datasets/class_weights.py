"""``train.class_weight``: how much the training examples of a class count in the loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.config.options import nearest
from nn_train.datasets.examples import IndexedExamples, Rows, SplitData
from nn_train.errors import RequestError

OF_YAML = ("True", "False")  # what is left of an unquoted yes or no


def with_class_weights(data: SplitData, given: Mapping[str, float]) -> SplitData:
    """The same data with weights of the training examples, as ``class_weight`` of Keras' ``fit`` has it.

    They multiply the weights of the source, if there are some; validation examples keep theirs.

    Args:
        data: of class labels.
        given: by the label, or the name of the class; 1 for those left out.

    Raises:
        RequestError: there are no such labels, or the examples are a stream.
    """
    if not given:
        return data
    if data.is_stream or data.num_classes is None:
        raise RequestError(
            "train.class_weight: needs class labels; a stream or other targets take weights of their own: "
            "(x, y, sample_weight)"
        )
    names = list(data.class_names or map(str, range(data.num_classes)))
    weights, places = np.ones(data.num_classes, np.float32), [place_of(label, names) for label in given]
    if len(set(places)) < len(places):
        raise RequestError(f"train.class_weight: {', '.join(given)} name a class twice, by its name and its number")
    weights[places] = list(given.values())
    if isinstance(data.train, IndexedExamples):
        weighted = IndexedExamples(WeightedRows(data.train.rows, weights), data.train.began)
        return dataclasses.replace(data, train=weighted)
    of_examples = weights[data.train.y]
    if data.train.weight is not None:
        of_examples = of_examples * data.train.weight
    return dataclasses.replace(data, train=dataclasses.replace(data.train, weight=of_examples))


@dataclass(frozen=True)
class WeightedRows:
    """Rows whose weights are multiplied by those of their classes.

    Attributes:
        rows: ``(x, y)`` or ``(x, y, weight)``.
        weights: by the label, float32 ``[C]``.
    """

    rows: Rows
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: NDArray[np.int64]) -> tuple[Any, ...]:
        x, y, *rest = self.rows.take(index)
        of_examples = self.weights[y]
        return x, y, of_examples * rest[0] if rest else of_examples

    def fingerprint(self) -> dict[str, str]:
        return self.rows.fingerprint()


def place_of(label: str, names: list[str]) -> int:
    """The number of a class that is given by its name or its number."""
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    hint = nearest(label, names) or f"; there are {', '.join(names[:10])}{', …' if len(names) > 10 else ''}"
    if label in OF_YAML:
        hint += "; YAML reads yes, no, on and off as true and false: put such a name into quotes"
    raise RequestError(f"train.class_weight: no class {label!r}{hint}")
