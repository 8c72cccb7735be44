"""The validation examples, which must be the same for all trials of a search that varies ``data.args``."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator

import numpy as np

from nn_train.datasets import Examples, IndexedExamples, SplitData
from nn_train.datasets.examples import leaves
from nn_train.errors import RequestError
from nn_train.storage.folder import ResultsFolder

PIECE = 4096  # examples
HELD_OUT = "held_out.json"  # what the validation targets of the first trial were


def varies_data(fields: Collection[str]) -> bool:
    """Whether trials that differ in these have examples of their own, which each process makes by itself."""
    return any(field.startswith("data.") for field in fields)


def check_held_out(data: SplitData, folder: ResultsFolder) -> None:
    """Trials are compared by what they reach on the validation examples: these must have the same targets, in the same
    order. Those of the first trial are noted in ``folder``.

    Raises:
        RequestError: this trial's are others.
    """
    own = targets_of(data)
    if folder.read_json(HELD_OUT) is None:
        folder.write_json(HELD_OUT, own)  # where two are the first, one is noted
    first = folder.read_json(HELD_OUT)
    if first != own:
        raise RequestError(
            "data.args: the validation examples of this trial have other targets than those of the trials before, so "
            "that the trials could not be compared; let the function hold out the same examples whatever its arguments"
        )


def targets_of(data: SplitData) -> dict[str, object]:
    """Their digest; of a stream only how many there are, where it tells."""
    if data.validation is None:
        return {"examples": 0}
    if not isinstance(data.validation, Examples | IndexedExamples):
        size = int(data.validation.cardinality())
        return {"examples": size if 0 <= size < math.inf else None}
    seen = hashlib.sha256()
    for part in parts_of(data.validation):
        for array in leaves(part.y):
            seen.update(np.ascontiguousarray(array).tobytes())
    return {"examples": data.validation.size, "targets": seen.hexdigest()}


def parts_of(examples: Examples | IndexedExamples) -> Iterator[Examples]:
    """Pieces of them that fit into memory."""
    for first in range(0, examples.size, PIECE):
        yield examples.take(np.arange(first, min(first + PIECE, examples.size)))
