"""``predictions/<stem>.npz`` and the note beside it, ``predictions/<stem>.json``.

The same predictions give the same bytes on every machine: no compression (zlib's output depends on its
version), fixed times, fixed order.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.evaluation.predictions import MULTICLASS, OF_TASK, AnyPredictions, PredictionError, Predictions
from nn_train.storage.atomic import write_whole

SCHEMA = 1
OUTPUTS = ("logits", "log_probabilities", "numbers")
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class PredictionNote:
    """What is known about a predictions file besides its arrays.

    Attributes:
        task: ``binary``, ``multiclass`` or ``regression``; files of before are of classes.
        classes: how many the model scores; None where the task has none.
        output: of classes ``logits`` where the model's pre-activation could be had, else ``log_probabilities``; of a
            regression ``numbers``.
        seconds: wall time of predicting, or None where it was not measured.
    """

    sha256: str
    rows: int
    classes: int | None
    output: str
    task: str = MULTICLASS
    seconds: float | None = None
    schema: int = SCHEMA


def store_predictions(
    directory: Path, stem: str, predictions: AnyPredictions, *, output: str, seconds: float | None = None
) -> PredictionNote:
    """Write ``<stem>.npz`` and ``<stem>.json`` below ``directory``; a torn write leaves the old files.

    Raises:
        ValueError: ``output`` is not one of ``OUTPUTS``.
    """
    if output not in OUTPUTS:
        raise ValueError(f"output: {output!r} is not known; allowed: {', '.join(OUTPUTS)}")
    content = npz_bytes({name: getattr(predictions, name) for name in predictions.ARRAYS})
    note = PredictionNote(
        sha256=hashlib.sha256(content).hexdigest(),
        rows=len(predictions),
        classes=predictions.classes if isinstance(predictions, Predictions) else None,
        task=predictions.task,
        output=output,
        seconds=seconds,
    )
    directory.mkdir(parents=True, exist_ok=True)
    write_whole(directory / f"{stem}.npz", content)
    write_whole(directory / f"{stem}.json", (json.dumps(asdict(note), indent=2) + "\n").encode())
    return note


def load_predictions(directory: Path, stem: str) -> tuple[AnyPredictions, PredictionNote]:
    """What ``store_predictions`` wrote.

    Raises:
        PredictionError: a file is missing or damaged, or the two do not belong together.
    """
    path = directory / f"{stem}.npz"
    try:
        content = path.read_bytes()
        note = PredictionNote(**json.loads((directory / f"{stem}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise PredictionError(f"{path}: the predictions or their note cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != note.sha256:
        raise PredictionError(f"{path}: its SHA-256 is not the one in {stem}.json; predict this run again")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        kind = OF_TASK[note.task]
        return kind(*(arrays[name] for name in kind.ARRAYS)), note


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An uncompressed .npz, the same for the same arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", ZIP_EPOCH)
            info.create_system = 3  # else it tells the operating system
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()
