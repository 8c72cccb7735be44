"""Where the metrics of a run go besides ``metrics.jsonl``: TensorBoard and MLflow. Chief only.

Those of a search are in ``search/loggers.py``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from nn_train.config import Config, config_to_dict
from nn_train.config.uris import without_passwords
from nn_train.errors import TrainingError
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import TENSORBOARD

MLFLOW_RUN = "mlflow_run_id"
PARTS = ("train", "validation")  # folders of ``tensorboard/``


class Logger(Protocol):
    """Takes a row of ``metrics.jsonl`` after each epoch."""

    def log(self, row: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class Loggers:
    """The loggers that ``run.loggers`` names. One that fails later than at the start costs no training: it is tried
    again after the next epoch, and gets what it missed.

    Args:
        config, folder: of the run.
        must_work: whether one that cannot be made ends the run: at its start, where a person still looks.

    Raises:
        TrainingError: it cannot be made, and must.
    """

    def __init__(self, config: Config, folder: ResultsFolder, must_work: bool) -> None:
        self.config, self.folder = config, folder
        self.made: dict[str, Logger] = {}
        self.missed: dict[str, list[dict[str, Any]]] = {name: [] for name in config.run.loggers}
        for name in self.missed if must_work else ():
            try:
                self.made[name] = KINDS[name](config, folder)
            except Exception as error:
                raise TrainingError(
                    f"run.loggers: {name} does not work: {one_line(error)}; mend it, or leave it out"
                ) from error

    def log(self, row: dict[str, Any]) -> list[str]:
        """Give all of them the row of an epoch. Returns what a person should know."""
        warnings = []
        for name, rows in self.missed.items():
            failed_before = bool(rows)
            rows.append(row)
            try:
                if name not in self.made:
                    self.made[name] = KINDS[name](self.config, self.folder)
                while rows:
                    self.made[name].log(rows[0])
                    rows.pop(0)
            except Exception as error:
                if not failed_before:
                    warnings.append(f"{name} does not work: {one_line(error)}; tried again after every epoch")
        return warnings

    def close(self) -> list[str]:
        """The end of the run. Returns what a person should know."""
        warnings = [f"{name} did not get the last {len(rows)} epochs" for name, rows in self.missed.items() if rows]
        for name, logger in self.made.items():
            try:
                logger.close()
            except Exception as error:
                warnings.append(f"{name} was not ended: {one_line(error)}")
        return warnings


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

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()


def fail_fast() -> None:
    """By default MLflow tries for minutes, while all workers wait."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")


def experiment_name() -> str:
    """The MLflow experiment of all runs and searches."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", "nn_train")


def parameters(config: Config) -> dict[str, Any]:
    """Every field of a job, ``section.field`` to value."""
    sections = config_to_dict(config)
    fields = {f"{s}.{k}": v for s, d in sections.items() if isinstance(d, dict) for k, v in d.items()}
    return {**fields, "seed": config.seed}


class MLflowLogger:
    """A run in the MLflow experiment ``nn_train``, at ``MLFLOW_TRACKING_URI``; a continued run goes on in it."""

    def __init__(self, config: Config, folder: ResultsFolder) -> None:
        import mlflow

        self.mlflow = mlflow
        fail_fast()
        mlflow.set_experiment(experiment_name())
        if folder.exists(MLFLOW_RUN):
            mlflow.start_run(run_id=folder.read(MLFLOW_RUN).decode())
            return
        folder.write(MLFLOW_RUN, mlflow.start_run(run_name=config.job_name).info.run_id.encode())
        mlflow.log_params(parameters(config))

    def log(self, row: dict[str, Any]) -> None:
        self.mlflow.log_metrics(numbers(row), step=row["epoch"])

    def close(self) -> None:
        self.mlflow.end_run()


KINDS: dict[str, Callable[[Config, ResultsFolder], Logger]] = {"tensorboard": TensorBoardLogger, "mlflow": MLflowLogger}
