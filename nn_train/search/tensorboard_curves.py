"""TensorBoard's files of a search: a folder for each trial, as a run has, and the HParams tab."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nn_train.config import Config
from nn_train.config.space import Space
from nn_train.runs.loggers import PARTS, scalars
from nn_train.search.journal import FAILED, Record
from nn_train.search.trial_metrics import RUNNING, at_best_epoch, best_tags, step_of_best
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import TENSORBOARD

REMOTE_SECONDS = 30.0  # between two writes of a trial to an object store, where files are written whole each time


@dataclass(frozen=True)
class Written:
    """What the files of a running trial hold.

    Attributes:
        file: the name that they have, each in its folder.
        last: what they were, or will be, made of; None at the beginning.
        at: when, on a monotonic clock; of an object store.
    """

    file: str
    last: Record | None
    at: float

    def leads_to(self, record: Record) -> bool:
        """Whether ``record`` only adds epochs: a lost trial goes on from an earlier one, PBT takes another's."""
        if self.last is None:
            return True
        count = len(self.last.rows)
        return record.values == self.last.values and record.rows[:count][-1:] == self.last.rows[-1:]


class TensorBoardCurves:
    """``tensorboard/<trial>/train`` and ``/validation`` with a run's tags, and ``tensorboard/<trial>`` for HParams.

    No file stays open between two epochs. A trial that does not simply go on, for example in a later session of the
    search, gets new files in place of the old ones: every record has all of its epochs.
    """

    def __init__(self, config: Config, space: Space, folder: ResultsFolder) -> None:
        from nn_train.search import event_records

        self.events, self.config = event_records, config
        self.folder = folder.inside(TENSORBOARD)
        self.folder.patient = False  # all trials wait meanwhile
        self.written: dict[str, Written] = {}
        self.there = set(self.folder.folders(""))
        self.write_columns(space)

    def write_columns(self, space: Space) -> None:
        """What HParams shows of the trials; another session may have another space."""
        now = time.time()
        for name in self.folder.names(""):
            self.folder.delete(name)
        columns = self.events.hparams_experiment(space, list(best_tags(self.config).values()), now)
        self.folder.write(file_name(), self.events.opening(now) + columns)

    def log(self, record: Record) -> None:
        """Write what is new of a trial."""
        known = self.written.pop(record.trial, None)  # so after a failure its files begin anew
        if known is None or not known.leads_to(record):
            known = self.begin(record.trial)
        ended, at = record.status != RUNNING, known.at
        if self.folder.is_local:
            self.put(record, known.file, known.last)
        elif ended or time.monotonic() >= at + REMOTE_SECONDS:
            self.put(record, known.file, None)
            at = time.monotonic()
        if not ended:
            self.written[record.trial] = Written(known.file, record, at)

    def begin(self, trial: str) -> Written:
        """Without what an earlier session, or a try that failed, has written."""
        if trial in self.there:
            old = self.folder.inside(trial)
            old.patient = False
            old.clear()
        self.there.add(trial)
        return Written(file_name(), None, time.monotonic())

    def put(self, record: Record, file: str, last: Record | None) -> None:
        """Write what ``record`` has beyond ``last``."""
        write = self.folder.append if self.folder.is_local else self.folder.write
        parts = {"": self.session(record, last), **{f"{part}/": self.curves(record, last, part) for part in PARTS}}
        for part, content in parts.items():
            if content:
                write(f"{record.trial}/{part}{file}", content)

    def session(self, record: Record, last: Record | None) -> bytes:
        """For HParams: the values at the beginning, the metrics at the end."""
        content = b""
        if last is None:
            content = self.events.opening(record.started)
            content += self.events.hparams_start(record.trial, record.values, record.started)
        if record.status == RUNNING:
            return content
        best = at_best_epoch(record, self.config)
        if best:
            content += self.events.scalars(best, step_of_best(record), record.finished)
        return content + self.events.hparams_end(record.status == FAILED, record.finished)

    def curves(self, record: Record, last: Record | None, part: str) -> bytes:
        """The epochs that ``last`` had not."""
        known = len(last.rows) if last is not None else 0
        content = b""
        for row, wall_time in itertools.islice(timed(record), known, None):
            values = {tag: value for where, tag, value in scalars(row) if where == part}
            if values:
                content += self.events.scalars(values, row["epoch"], wall_time)
        return self.events.opening(record.started) + content if content and not known else content

    def close(self, status: str) -> None:
        """Nothing is open."""


def timed(record: Record) -> Iterator[tuple[dict[str, Any], float]]:
    """Each epoch, and when it ended as far as its row tells: seconds since 1970."""
    wall_time = record.started
    for row in record.rows:
        wall_time += row.get("seconds", 0.0)
        yield row, wall_time


def file_name() -> str:
    """Another one each time: a TensorBoard that runs looks for new files, and reads each to its end only once."""
    return f"events.out.tfevents.{time.time_ns()}"
