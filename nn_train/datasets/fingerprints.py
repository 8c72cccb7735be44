"""Fingerprints of examples, by which workers, a resumed run, the trials of a search and the evaluation find others.

Files are known by their digests, or by sizes and times. What a user's function gives is known by the number of examples
of each part and by digests of a few of them: see docs/contract.md for what is not found so.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_train.config import DataConfig
from nn_train.config.options import is_entry_point
from nn_train.config.schema import BUILT_IN_DATA
from nn_train.datasets.examples import Examples, SplitData, contents, evenly, leaves
from nn_train.errors import RequestError
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import DATA

if TYPE_CHECKING:
    import tensorflow as tf

FEW = 16  # examples of a part that can be read by their numbers
FIRST = 32  # examples of a stream; a model is probed with them as well
NUMBERS = 4096  # of an array of floats
VALIDATION, TEST = "validation examples", "test examples"
PARTS = ("training examples", VALIDATION, TEST)
OF_TRIALS = "validation_examples"  # the folder of a search whose first file names those of its first trial
CONTRACT = (
    "A data function gives the same examples in the same order whenever it is called with the same arguments and seed: "
    "draw from a generator with a seed (np.random.default_rng(0)), sort lists of files and what comes from sets, "
    "shuffle a stream with reshuffle_each_iteration=False before take and skip, and leave random changes of an example "
    "to data.augment or to the layers of the model"
)


def look_at_stream(stream: tf.data.Dataset) -> Any:
    """Return the first ``FIRST`` examples of a stream as one batch; None if it has none."""
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    return next(iter(stream.batch(FIRST).with_options(options)), None)


def fingerprints(data: SplitData) -> dict[str, str]:
    """Return the fingerprint of each part that training may read: not of a test stream."""
    parts = zip(PARTS, (data.train, data.validation, None if data.is_stream else data.test), strict=True)
    return {name: fingerprint(part, data.first.get(name)) for name, part in parts if part is not None}


def fingerprint(part: Any, first: object = None) -> str:
    """Return the number of examples and a digest of the targets of some; of arrays also of their inputs.

    Inputs that are read one by one may be changed at random whenever that happens.

    Args:
        part: of a ``SplitData``.
        first: what ``look_at_stream`` gave of it.
    """
    if not hasattr(part, "size"):
        count = int(part.cardinality())
        targets = first[1] if isinstance(first, tuple) and len(first) > 1 else ()
        return f"{count if count >= 0 else 'unknown'}, {digest_of_some(targets)}"
    few = part.take(evenly(part.size, FEW))
    inputs = f", {digest_of_some(few.x)}" if isinstance(part, Examples) else ""
    return f"{part.size}, {digest_of_some(few.y)}{inputs}"


def digest_of_some(tree: object) -> str:
    """Return a digest of arrays: exact, but for floats, which another processor may compute a little otherwise."""
    seen = hashlib.sha256()
    for array in (np.asarray(leaf) for leaf in leaves(tree)):
        if array.dtype.kind == "f":
            seen.update(f"{array.shape} {outline_of_floats(array)}".encode())
        else:
            seen.update(f"{array.shape} {array.dtype.kind}".encode())
            for content in contents([array]):
                seen.update(content)
    return seen.hexdigest()[:16]


def outline_of_floats(array: np.ndarray) -> str:
    """Return how large the deviations from the mean are, and how they are arranged, to three digits."""
    numbers = array.reshape(-1)[:: max(1, array.size // NUMBERS)].astype(np.float64)
    numbers = np.where(np.isfinite(numbers), numbers, 0)
    deviations = numbers - numbers.mean() if len(numbers) else numbers
    size, largest = float(np.linalg.norm(deviations)), float(np.abs(numbers).max(initial=0))
    if size <= 1e-5 * largest:  # nothing but what rounding left
        return "constant"
    weights = np.random.default_rng(0).normal(size=len(numbers))
    return f"{deviations @ weights / size:.3f} {np.log2(size):.1f}"


def known(data: SplitData, config: DataConfig) -> dict[str, str]:
    """Return what must be the same for as long as a run or search lives, by its name."""
    if config.source in BUILT_IN_DATA:
        return {}
    return data.fingerprint if is_entry_point(config.source) else {**data.sha256, **data.fingerprint}


def changed(noted: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names of what is not as noted. Older versions noted no ``PARTS``."""
    return [name for name, mark in now.items() if noted.get(name, mark if name in PARTS else None) != mark]


def note(folder: ResultsFolder, now: Mapping[str, str], anew: bool = False) -> None:
    """Write ``known`` to the folder of a run or search, or compare it with what is there.

    Args:
        anew: nothing has been trained yet, so that what was noted before does not count.

    Raises:
        RequestError: it was begun with other examples.
    """
    noted = None if anew else folder.read_json(DATA)
    if noted is None:
        if now or folder.exists(DATA):
            folder.write_json(DATA, dict(now))
    elif others := changed(noted, now):
        first = others[0]
        advice = f". {CONTRACT}" if set(others) & set(PARTS) else "; put it back as it was"
        raise RequestError(
            f"data.source: {', '.join(others)} changed since the run began ({first}: {noted.get(first)}; now "
            f"{now[first]}){advice}; or give another --name, or --run.overwrite true"
        )


def varies_data(fields: Collection[str]) -> bool:
    """Return whether trials that differ in these fields have examples of their own, which each process makes itself."""
    return any(field.startswith("data.") for field in fields)


def check_trial(data: SplitData, folder: ResultsFolder) -> None:
    """Compare the validation targets of a trial with those of the first trial of the search in ``folder``.

    Raises:
        RequestError: they are others, so that the trials could not be compared.
    """
    mark = "0"
    if data.validation is not None:
        mark = data.fingerprint.get(VALIDATION) or fingerprint(data.validation)
    own = "-".join(mark.split(", ")[:2])  # the number and the targets: inputs may depend on data.args
    if not folder.names(OF_TRIALS):  # of trials that begin together the first one counts
        folder.write(f"{OF_TRIALS}/{time.time_ns():020d}-{own}", b"")
    if min(folder.names(OF_TRIALS)).partition("-")[2] != own:
        raise RequestError(
            "data.source: the validation examples of this trial have other targets than those of the trials before, so "
            f"that they cannot be compared. {CONTRACT}; and hold out the same examples whatever data.args are"
        )
