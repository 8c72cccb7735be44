"""The validation examples, which must be the same for all trials of a search: where ``data.args`` vary, and where each
process reads them by itself."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator

import numpy as np

from nn_train.datasets import Examples, IndexedExamples, SplitData
from nn_train.datasets.examples import leaves
from nn_train.datasets.known_again import VALIDATION, is_alike, mark_of
from nn_train.errors import RequestError
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import DATA

PIECE = 4096  # examples
HELD_OUT = "held_out"  # the folder whose first file says what the validation targets of the first trial were
STREAMS = "held_out_streams"  # the same of streams, whose targets are known after an epoch
OTHERS = (
    "data.source: the validation examples of this trial have other targets than those of the trials before, so that "
    "the trials could not be compared; let the function hold out the same examples each time: shuffle with a seed, and "
    "with reshuffle_each_iteration=False before take and skip"
)


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
    noted = sorted(folder.names(HELD_OUT))
    if not noted:  # trials that begin together each note theirs: the first of these counts
        folder.write(f"{HELD_OUT}/{time.time_ns():020d}-{own}", b"")
        noted = sorted(folder.names(HELD_OUT))
    first = noted[0].partition("-")[2]
    if first != own:
        raise RequestError(
            "data.args: the validation examples of this trial have other targets than those of the trials before, so "
            "that the trials could not be compared; let the function hold out the same examples whatever its arguments"
        )


def check_noted(data: SplitData, folder: ResultsFolder) -> None:
    """Where each process reads the data by itself: their validation targets must be those that the search noted when it
    began.

    Raises:
        RequestError: this process has others.
    """
    if data.is_stream:
        return
    noted: dict[str, str] = folder.read_json(DATA) or {}
    own = mark_of(data.validation) if VALIDATION in noted else ""
    if own and not is_alike(noted[VALIDATION], own):
        raise RequestError(
            "data.source: the validation examples of this trial have other targets than those that the search began "
            "with, so that the trials could not be compared; let the function hold out the same examples each time: "
            "draw with a seed (np.random.default_rng(0))"
        )


class StreamOfTrial:
    """The validation targets of a trial whose examples are a stream: known once they have been read, in each process by
    itself, where the function was called anew. ``folder``: of the search."""

    def __init__(self, folder: ResultsFolder) -> None:
        self.folder = folder
        self.first: int | None = None
        self.passes = 0

    def look_at(self, mark: int | None) -> str:
        """After each epoch of the trial in this process; ``mark`` is ``Loop.held_out``. Returns why the trial cannot be
        compared with those before, else an empty text. Noted is what two passes had: others are drawn as they go."""
        if mark is None or self.passes == 2:
            return ""
        self.passes += 1
        if self.passes == 2 and mark != self.first:
            return ""
        self.first = mark
        noted = self.folder.names(STREAMS)
        if not noted and self.passes == 2:
            self.folder.write(f"{STREAMS}/{time.time_ns():020d}-{mark}", b"")
            noted = self.folder.names(STREAMS)
        return OTHERS if noted and min(noted).partition("-")[2] != str(mark) else ""


def targets_of(data: SplitData) -> str:
    """The digest of targets and weights; of a stream how many examples there are, where it tells."""
    if data.validation is None:
        return "none"
    if not isinstance(data.validation, Examples | IndexedExamples):
        return f"{int(data.validation.cardinality())} of a stream"
    seen = hashlib.sha256(f"{data.validation.size}".encode())
    for part in parts_of(data.validation):
        for array in leaves(part.parts[1:]):
            seen.update(np.ascontiguousarray(array, np.float64 if array.dtype.kind in "uif" else None).tobytes())
    return seen.hexdigest()[:32]


def parts_of(examples: Examples | IndexedExamples) -> Iterator[Examples]:
    """Pieces of them that fit into memory."""
    for first in range(0, examples.size, PIECE):
        yield examples.take(np.arange(first, min(first + PIECE, examples.size)))
