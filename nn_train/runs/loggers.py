"""Where metrics go besides the files of a job, and of a run: TensorBoard and MLflow. Chief only.

Those of a search are in ``search/loggers.py``.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from nn_train.config import Config, config_to_dict
from nn_train.config.uris import without_passwords
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import TENSORBOARD

MLFLOW_RUN = "mlflow_run_id"
PAUSE = 60.0  # seconds in which one that failed is left alone: a server that does not answer takes up to half a minute
PARTS = ("train", "validation")  # folders of ``tensorboard/``


class Logger(Protocol):
    """Takes the metrics of a job."""

    def log(self, entry: Any, /) -> None:
        """A row of ``metrics.jsonl`` after each epoch of a run; of a search the ``Record`` of a trial so far."""

    def close(self, status: str) -> None:
        """The end of this session: ``FINISHED``, ``KILLED`` (it was interrupted) or ``FAILED``."""


class Loggers:
    """The loggers that ``run.loggers`` names.

    One that fails later than at the start costs no training: it is left alone for ``PAUSE`` seconds, and then gets what
    it missed.

    Args:
        makers: what makes each of them, by name.
        warn: told once in a row of failures what a person should know.
        refusal: the error where one cannot be made, at the start, where a person still looks; None: it is made later.
        clock: in seconds.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[], Logger]],
        warn: Callable[[str], object],
        refusal: type[Exception] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.makers, self.warn, self.clock = makers, warn, clock
        self.made: dict[str, Logger] = {}
        self.failed_at: dict[str, float] = {}
        self.missed: dict[str, dict[object, object]] = {name: {} for name in makers}
        if refusal is None:
            return
        for name in makers:
            try:
                self.made[name] = makers[name]()
            except Exception as error:
                raise refusal(
                    f"run.loggers: {name} does not work: {one_line(error)}; mend it, or leave it out"
                ) from error

    def log(self, key: object, entry: object) -> None:
        """Give all of them an entry, in the place of one of the same key that they have missed."""
        for name, missed in self.missed.items():
            missed[key] = entry
            if self.clock() < self.failed_at.get(name, -PAUSE) + PAUSE:
                continue
            try:
                self.catch_up(name)
            except Exception as error:
                if name not in self.failed_at:
                    self.warn(f"{name} does not work: {one_line(error)}; tried again every {PAUSE:g} s")
                self.failed_at[name] = self.clock()
            else:
                self.failed_at.pop(name, None)

    def catch_up(self, name: str) -> None:
        """Give one of them what it has missed."""
        if name not in self.made:
            self.made[name] = self.makers[name]()
        missed = self.missed[name]
        for key in list(missed):
            self.made[name].log(missed[key])
            del missed[key]

    def close(self, status: str = "FINISHED") -> None:
        """End this session."""
        for name, missed in self.missed.items():
            try:
                self.catch_up(name)
                self.made[name].close(status)
            except Exception as error:
                self.warn(f"{name} {'did not get all metrics' if missed else 'was not ended'}: {one_line(error)}")


def one_line(error: Exception) -> str:
    """The first line, without what a URL may hold."""
    return without_passwords(" ".join(str(error).split("\n")[0].split())[:300] or type(error).__name__)


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """What of a row can be drawn."""
    return {name: value for name, value in row.items() if isinstance(value, int | float) and name != "epoch"}


def scalars(row: dict[str, Any]) -> Iterator[tuple[str, str, float]]:
    """The numbers of a row as TensorBoard has them: folder, tag and value, named as Keras names them."""
    for name, value in numbers(row).items():
        part = "validation" if name.startswith("val_") else "train"
        yield part, f"epoch_{name.removeprefix('val_')}", value


class TensorBoardLogger:
    """Event files in ``tensorboard/train`` and ``tensorboard/validation``, with the tags that Keras uses."""

    def __init__(self, config: Config, folder: ResultsFolder) -> None:
        import tensorflow as tf

        self.tf, self.folder = tf, folder
        # TensorFlow's writer knows local files only; elsewhere the files are written here and copied.
        self.local = Path(folder.path(TENSORBOARD)) if folder.is_local else Path(tempfile.mkdtemp())
        self.writers = {part: tf.summary.create_file_writer(str(self.local / part)) for part in PARTS}

    def log(self, row: dict[str, Any]) -> None:
        for part, tag, value in scalars(row):
            with self.writers[part].as_default():
                self.tf.summary.scalar(tag, value, step=row["epoch"])
        for writer in self.writers.values():
            writer.flush()
        if not self.folder.is_local:
            for file in self.local.rglob("events.*"):
                self.folder.write_file(f"{TENSORBOARD}/{file.relative_to(self.local).as_posix()}", file)

    def close(self, status: str) -> None:
        for writer in self.writers.values():
            writer.close()


def experiment_name() -> str:
    """The MLflow experiment of all runs and searches; told before MLflow is called, which is to fail soon: by default
    it tries for minutes, while all workers wait."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", "nn_train")


def parameters(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of a job given as a dict, ``section.field`` to value."""
    fields = {f"{s}.{k}": v for s, d in sections.items() if isinstance(d, dict) for k, v in d.items()}
    return {**fields, "seed": sections["seed"]}


class MLflowLogger:
    """A run in the MLflow experiment ``nn_train``, at ``MLFLOW_TRACKING_URI``; a continued run goes on in it."""

    def __init__(self, config: Config, folder: ResultsFolder) -> None:
        import mlflow

        self.mlflow = mlflow
        mlflow.set_experiment(experiment_name())
        if folder.exists(MLFLOW_RUN):
            mlflow.start_run(run_id=folder.read(MLFLOW_RUN).decode())
            return
        folder.write(MLFLOW_RUN, mlflow.start_run(run_name=config.job_name).info.run_id.encode())
        mlflow.log_params(parameters(config_to_dict(config)))

    def log(self, row: dict[str, Any]) -> None:
        self.mlflow.log_metrics(numbers(row), step=row["epoch"])

    def close(self, status: str) -> None:
        self.mlflow.end_run(status)


KINDS: dict[str, Callable[[Config, ResultsFolder], Logger]] = {"tensorboard": TensorBoardLogger, "mlflow": MLflowLogger}
