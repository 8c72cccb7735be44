"""The whole state of a training, in files of which a torn one is never read.

A checkpoint is taken between epochs, and now and then within one (``chunk_hooks`` says when). It holds every variable
(weights, moving statistics, optimizer, random generators), the history, what the user's callbacks remember, and of an
epoch that is not finished its position and what each replica has counted, so that a continued run takes the same steps
as an uninterrupted one, to the bit. Format: 64 hex digits of SHA-256, a line feed, then an ``.npz`` with the variables
and a JSON record.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from nn_train.engine.chunks import PartialEpoch
from nn_train.engine.model_state import optimizers_of
from nn_train.engine.seeds import seed_states
from nn_train.errors import RequestError
from nn_train.runs.callback_state import Memory, from_json, to_json
from nn_train.runs.record import History
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import CHECKPOINTS

KEPT = 2  # the newest, and the one before it in case the newest is damaged


@dataclass(frozen=True)
class Checkpoint:
    """A state of a training.

    Attributes:
        epochs: finished epochs.
        history: their rows.
        variables: the values, in the order of ``state_variables``.
        partial: where the next epoch was left; None between two epochs.
        memories: what the user's callbacks knew.
    """

    epochs: int
    history: History
    variables: list[np.ndarray]
    partial: PartialEpoch | None = None
    memories: Sequence[Memory] = ()


def state_variables(model: keras.Model) -> list[Any]:
    """Every variable that the next step depends on, in a fixed order."""
    of_optimizers = [variable for optimizer in optimizers_of(model) for variable in optimizer.variables]
    return [*model.weights, *of_optimizers, *seed_states(model)]


def save(
    folder: ResultsFolder,
    model: keras.Model,
    history: History,
    partial: PartialEpoch | None = None,
    memories: Sequence[Memory] = (),
) -> None:
    """Write the state after ``len(history)`` epochs, and a part of the next, and remove all but the ``KEPT`` newest.

    Chief only.
    """
    name = f"epoch-{len(history):06d}-step-{partial.step if partial is not None else 0:09d}.ckpt"
    folder.write(f"{CHECKPOINTS}/{name}", pack(state_variables(model), history, partial, memories))
    for name in folder.names(CHECKPOINTS)[:-KEPT]:
        folder.delete(f"{CHECKPOINTS}/{name}")


def load_newest(folder: ResultsFolder, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest intact checkpoint; ``warn`` is called for each damaged one that is passed over."""
    for name in reversed(folder.names(CHECKPOINTS)):
        checkpoint = unpack(folder.read(f"{CHECKPOINTS}/{name}"))
        if checkpoint is not None:
            return checkpoint
        warn(f"{folder.path(CHECKPOINTS)}/{name} is damaged and is not used")
    return None


def pack(
    variables: list[Any], history: History, partial: PartialEpoch | None = None, memories: Sequence[Memory] = ()
) -> bytes:
    """The values of ``variables``, the history, the part of an epoch and the memories in the format above."""
    arrays = {f"v{i}": savable(np.asarray(variable.value)) for i, variable in enumerate(variables)}
    remembered: list[np.ndarray] = []
    content: dict[str, Any] = {"history": history, "partial": None}
    content["memories"] = [to_json(memory, remembered) for memory in memories]
    arrays |= {f"m{i}": array for i, array in enumerate(remembered)}
    if partial is not None:
        content["partial"] = {"step": partial.step, "loss_sum": partial.loss_sum}
        arrays["metrics"] = partial.metrics
    record = np.frombuffer(json.dumps(content).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, record=record, **arrays)  # type: ignore[arg-type]
    payload = buffer.getvalue()
    return hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def savable(value: np.ndarray) -> np.ndarray:
    """Numbers of types that NumPy's files do not know (bfloat16, float8) as float32, which holds them all."""
    return value.astype(np.float32) if value.dtype.kind == "V" else value


def unpack(content: bytes) -> Checkpoint | None:
    """What ``pack`` gave; None when it is damaged."""
    digest, payload = content[:64], content[65:]
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        return None
    with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
        record = json.loads(archive["record"].tobytes())
        history, partial = record["history"], record["partial"]
        if partial is not None:
            partial = PartialEpoch(**partial, metrics=archive["metrics"])
        variables, remembered = (numbered(archive, letter) for letter in "vm")
    found = record.get("memories", ())  # none in files of older versions
    memories = [from_json(memory, remembered) for memory in found]
    return Checkpoint(epochs=len(history), history=history, variables=variables, partial=partial, memories=memories)


def numbered(archive: Any, letter: str) -> list[np.ndarray]:
    """The arrays that are named by a letter and their number."""
    count = sum(name[0] == letter and name[1:].isdigit() for name in archive.files)
    return [archive[f"{letter}{i}"] for i in range(count)]


def restore(model: keras.Model, checkpoint: Checkpoint) -> None:
    """Set the variables of a built model. RequestError when the model is not the one that was saved.

    Random generators get the chief's state; ``separate_seeds`` gives each rank its own again.
    """
    try:
        assign(state_variables(model), checkpoint.variables)
    except ValueError as error:
        raise RequestError(
            f"model.name: {error}: its function, or what it reads, has changed since the checkpoint. Give another "
            "--name, or --run.overwrite true to train it anew"
        ) from error


def assign(variables: list[Any], values: list[np.ndarray]) -> None:
    """Set each variable. ValueError when the values are of other shapes: another model's."""
    shapes = [tuple(variable.shape) for variable in variables]
    saved = [value.shape for value in values]
    if shapes != saved:
        pairs = ((one, other) for one, other in itertools.zip_longest(saved, shapes) if one != other)
        raise ValueError("the checkpoint has a variable of shape {}, where the model has {}".format(*next(pairs)))
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
