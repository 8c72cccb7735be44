"""Where the metrics of trials go besides the journal: TensorBoard and MLflow.

The driver writes them: it is told of every epoch of every trial, also of trials of several workers and of lost ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from nn_train.config import Config
from nn_train.config.space import Space
from nn_train.config.wording import counted
from nn_train.errors import RequestError
from nn_train.runs.loggers import one_line
from nn_train.search.journal import Record
from nn_train.search.mlflow_runs import MLflowRuns
from nn_train.search.tensorboard_curves import TensorBoardCurves
from nn_train.search.trial_metrics import RUNNING
from nn_train.storage.folder import ResultsFolder

PAUSE = 60.0  # seconds in which one that failed is left alone: a server that does not answer takes up to half a minute


class SearchLogger(Protocol):
    """Takes what is known of a trial after each epoch and at its end."""

    def log(self, record: Record) -> None:
        """All epochs of a trial so far; ``status`` is ``RUNNING`` until it has ended."""

    def close(self, status: str) -> None:
        """The end of this session of the search: ``FINISHED``, ``KILLED`` (it was interrupted) or ``FAILED``."""


class SearchLoggers:
    """The loggers that ``run.loggers`` names. Use as a context.

    One that fails later than at the start costs no training: it is left alone for ``PAUSE`` seconds, and then gets what
    it missed, since each trial comes with all its epochs.

    Args:
        config, space, folder: of the search.
        warn: told once in a row of failures what a person should know.
        must_work: whether one that cannot be made ends the search: at its start, where a person still looks.
        clock: in seconds.

    Raises:
        RequestError: it cannot be made, and must.
    """

    def __init__(
        self,
        config: Config,
        space: Space,
        folder: ResultsFolder,
        warn: Callable[[str], None],
        must_work: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self.space, self.folder = config, space, folder
        self.warn, self.clock = warn, clock
        self.made: dict[str, SearchLogger] = {}
        self.failed_at: dict[str, float] = {}
        self.ended: dict[str, dict[str, Record]] = {name: {} for name in config.run.loggers}  # what was not told yet
        for name in self.ended if must_work else ():
            try:
                self.made[name] = KINDS[name](config, space, folder)
            except Exception as error:
                raise RequestError(
                    f"run.loggers: {name} does not work: {one_line(error)}; mend it, or leave it out"
                ) from error

    def __enter__(self) -> SearchLoggers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.close("KILLED" if interrupted else "FAILED" if kind is not None else "FINISHED")

    def log(self, record: Record) -> None:
        """Give all of them what is known of a trial."""
        for name, ended in self.ended.items():
            if record.status != RUNNING:
                ended[record.trial] = record
            if self.clock() >= self.failed_at.get(name, -PAUSE) + PAUSE:
                self.attempt(name, record)

    def attempt(self, name: str, record: Record) -> None:
        """Give one of them what it has missed, and ``record``."""
        try:
            self.catch_up(name)
            if record.status == RUNNING:
                self.made[name].log(record)
        except Exception as error:
            if name not in self.failed_at:
                self.warn(f"{name} does not work: {one_line(error)}; tried again every {PAUSE:g} s")
            self.failed_at[name] = self.clock()
        else:
            self.failed_at.pop(name, None)

    def catch_up(self, name: str) -> None:
        """Give one of them the trials that have ended."""
        if name not in self.made:
            self.made[name] = KINDS[name](self.config, self.space, self.folder)
        for trial, record in list(self.ended[name].items()):
            self.made[name].log(record)
            del self.ended[name][trial]

    def close(self, status: str) -> None:
        """The end of this session."""
        for name, ended in self.ended.items():
            try:
                self.catch_up(name)
                self.made[name].close(status)
            except Exception as error:
                missed = f"did not get {counted(len(ended), 'trial')}" if ended else "was not ended"
                self.warn(f"{name} {missed}: {one_line(error)}")


KINDS: dict[str, Callable[[Config, Space, ResultsFolder], SearchLogger]] = {
    "tensorboard": TensorBoardCurves,
    "mlflow": MLflowRuns,
}
