"""What a job tells while it runs: one class for each kind of event, and the type of who hears them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nn_train.config import Config

Row = Mapping[str, Any]  # an epoch, as a line of metrics.jsonl


@dataclass(frozen=True)
class Starting:
    """So many workers are about to start; again after each loss, and where their number changes."""

    workers: int


@dataclass(frozen=True)
class Waiting:
    """Something has to be waited for: room in the cluster (``2 CPUs: 1 of 4 free``), or another job."""

    need: str


@dataclass(frozen=True)
class Started:
    """The workers train.

    Attributes:
        run: the name of the run.
        parameters: of the model.
        examples: their number by split (``train``, ``validation``, ``test``); None where a stream does not tell.
        resumed_after, resumed_step: epochs, and steps of the next one, that are not repeated.
        steps_per_epoch: None where a stream does not tell.
        warnings: for example about damaged checkpoints.
    """

    run: str
    parameters: int
    examples: Mapping[str, int | None]
    resumed_after: int
    resumed_step: int
    steps_per_epoch: int | None
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class StepsDone:
    """A long epoch is under way.

    Attributes:
        epoch, epochs: which of how many, from 1.
        step, steps: of how many of its steps are done; None where a stream does not tell.
        loss: mean over the examples of the epoch so far.
        samples_per_second: since the last event.
        seconds_left: of the steps of this epoch at that pace; None where their number is not known.
    """

    epoch: int
    epochs: int
    step: int
    steps: int | None
    loss: float
    samples_per_second: float
    seconds_left: float | None


@dataclass(frozen=True)
class EpochEnded:
    """An epoch of ``epochs`` is kept."""

    row: Row
    epochs: int
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Finished:
    """The run has ended; ``result`` is the content of its ``result.json``, empty on other workers than the chief."""

    result: Mapping[str, Any]
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Leaving:
    """The workers were asked to keep a checkpoint and make way for others."""

    why: str


@dataclass(frozen=True)
class WorkersLost:
    """Workers were lost and are started again.

    Attributes:
        ranks: theirs; empty when a worker died before the ranks were known.
        what: ``worker 1 was lost: …``.
        advice: what to change, where that is known.
        restart: the number of the restart that begins now, from 1; None for one that does not count.
        restarts: how many there can be.
    """

    ranks: Sequence[int]
    what: str
    advice: str | None
    restart: int | None
    restarts: int


@dataclass(frozen=True)
class PhaseStarted:
    """A part of a search begins.

    Attributes:
        phase: ``search``, ``extend`` or ``confirm``.
        open: trials to run.
        known: trials that ended before.
    """

    phase: str
    open: int
    known: int


@dataclass(frozen=True)
class TrialEnded:
    """A trial has ended.

    Attributes:
        trial: its name.
        status: ``completed``, ``stopped`` or ``failed``.
        value: of the search's metric at its best epoch; None without one.
        rows: its epochs.
    """

    trial: str
    status: str
    value: float | None
    rows: Sequence[Row] = ()


@dataclass(frozen=True)
class WritingModels:
    """A search writes its best models."""

    count: int


@dataclass(frozen=True)
class Warned:
    """What a person should know of a search, although it goes on: one line."""

    text: str


@dataclass(frozen=True)
class SearchEnded:
    """What a pipeline's search has found.

    Attributes:
        trials: all of them; ``ran`` of them just now.
        best: the name of the best one, ``value`` its ``metric``, ``values`` its hyperparameters by field.
    """

    trials: int
    ran: int
    best: str
    metric: str
    value: float
    values: Mapping[str, Any]


@dataclass(frozen=True)
class StageStarted:
    """Stage ``number`` of ``of`` of a pipeline begins; ``left`` are the seconds of all, where that can be told."""

    title: str
    number: int
    of: int
    left: float | None


@dataclass(frozen=True)
class Line:
    """A line for a person: of an evaluation, or of data that are converted."""

    text: str


@dataclass(frozen=True)
class About:
    """An event of one of a pipeline's searches and trainings, and the config it is about."""

    config: Config
    event: Event


OfTraining = Line | Starting | Waiting | Started | StepsDone | EpochEnded | Finished | Leaving | WorkersLost
OfSearch = Line | Waiting | PhaseStarted | TrialEnded | WritingModels | Warned
OfPipeline = Line | StageStarted | SearchEnded | About
Event = OfTraining | OfSearch | OfPipeline
Handler = Callable[[Event], None]


def unheard(event: Event) -> None:
    """The handler of who does not listen."""
