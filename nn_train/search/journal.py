"""The record of every trial (``trial_callbacks`` makes them): the memory of a search that is killed or extended."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from nn_train.runs.history import best_epoch
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import LOGS

COMPLETED, STOPPED, FAILED = "completed", "stopped", "failed"
RUNNING = "running"  # of a trial that is in no journal yet
JOURNAL = "journal"
PART_ROWS = 64  # records of one file: object stores cannot append, so a file is written anew with each record


@dataclass(frozen=True, kw_only=True)
class Record:
    """One trial that has ended.

    Attributes:
        trial: its name, unique in the search.
        phase: ``search``, ``extend`` (more epochs) or ``confirm`` (other seeds).
        status: ``completed`` (it ran to its end), ``stopped`` (by the scheduler) or ``failed``.
        cause: why it was stopped or failed, in words.
        draws: what the algorithm drew; empty where the values were given.
        values: field to value; where they changed on the way, those of the best epoch.
        mixed: whether epochs before the best one were trained with other values.
        rows: its epochs, as in metrics.jsonl.
        epochs: train.epochs at the time.
        started, finished: seconds since 1970.
    """

    trial: str
    phase: str
    status: str
    cause: str = ""
    draws: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    mixed: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list, repr=False)
    epochs: int = 0
    started: float = 0.0
    finished: float = 0.0

    def value(self, metric: str) -> float | None:
        """The metric at the best epoch; None without one, and for a trial that failed."""
        if not self.rows or self.status == FAILED:
            return None
        return self.rows[best_epoch(self.rows) - 1].get(metric)

    def values_by_epoch(self, metric: str) -> list[float]:
        """The metric at the best epoch so far, after each epoch."""
        best = [self.rows[best_epoch(self.rows[:count]) - 1] for count in range(1, len(self.rows) + 1)]
        return [row[metric] for row in best if metric in row]


def trial_folder(search: ResultsFolder, trial: str) -> ResultsFolder:
    """Where a trial keeps its weights while the search needs them."""
    return search.inside(f"trials/{trial}")


def forget_trial(search: ResultsFolder, trial: str) -> None:
    """Remove what a trial has kept, but for what its workers printed."""
    folder = trial_folder(search, trial)
    if not folder.names(LOGS):
        folder.clear()
        return
    for name in folder.names(""):
        folder.delete(name)
    for name in folder.folders(""):
        if name != LOGS:
            folder.inside(name).clear()


class Journal:
    """The records in a search's folder, in the order in which the trials ended."""

    def __init__(self, folder: ResultsFolder) -> None:
        self.folder = folder
        self.records: list[Record] = []
        for name in folder.names(JOURNAL):
            lines = folder.read(f"{JOURNAL}/{name}").decode().splitlines()
            self.records += [Record(**json.loads(line)) for line in lines]
        self.parts = len(folder.names(JOURNAL))
        self.open: list[str] = []  # the lines of the last file, to which more will come

    def add(self, record: Record) -> None:
        """Write a record; when this returns, the trial will not be run again."""
        if not self.open:
            self.parts += 1
        self.records.append(record)
        self.open.append(json.dumps(asdict(record), allow_nan=False) + "\n")
        self.folder.write(f"{JOURNAL}/part-{self.parts:06d}.jsonl", "".join(self.open).encode())
        if len(self.open) == PART_ROWS:
            self.open = []


def ranked(records: list[Record], metric: str, lower_is_better: bool) -> list[Record]:
    """The records that have a value, the best first."""
    sign = 1 if lower_is_better else -1
    valued = [(record.value(metric), record) for record in records]
    usable = [(sign * value, record.trial, record) for value, record in valued if value is not None]
    return [record for _, _, record in sorted(usable, key=lambda entry: entry[:2])]
