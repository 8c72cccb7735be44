"""Where the metrics of a run go besides ``metrics.jsonl``: TensorBoard and MLflow. Chief only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Protocol

from nn_train.config import Config, config_to_dict
from nn_train.runs import TENSORBOARD, RunFolder

MLFLOW_RUN = "mlflow_run_id"


class Logger(Protocol):
    """Takes a row of ``metrics.jsonl`` after each epoch."""

    def log(self, row: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


def make_loggers(config: Config, folder: RunFolder) -> list[Logger]:
    """The loggers of ``run.loggers``."""
    kinds: dict[str, Any] = {"tensorboard": TensorBoardLogger, "mlflow": MLflowLogger}
    return [kinds[name](config, folder) for name in config.run.loggers]


class TensorBoardLogger:
    """Event files in ``tensorboard/train`` and ``tensorboard/validation``, with the tags that Keras uses."""

    def __init__(self, config: Config, folder: RunFolder) -> None:
        import tensorflow as tf

        self.tf, self.folder = tf, folder
        # TensorFlow's writer knows local files only; elsewhere the files are written here and copied.
        self.local = Path(folder.path(TENSORBOARD)) if folder.is_local else Path(tempfile.mkdtemp())
        self.writers = {part: tf.summary.create_file_writer(str(self.local / part)) for part in ("train", "validation")}

    def log(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name == "epoch" or not isinstance(value, int | float):
                continue
            part = "validation" if name.startswith("val_") else "train"
            with self.writers[part].as_default():
                self.tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value, step=row["epoch"])
        for writer in self.writers.values():
            writer.flush()
        if not self.folder.is_local:
            for file in self.local.rglob("events.*"):
                self.folder.write_file(f"{TENSORBOARD}/{file.relative_to(self.local).as_posix()}", file)

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()


class MLflowLogger:
    """A run in the MLflow experiment ``nn_train``, at ``MLFLOW_TRACKING_URI``; a continued run goes on in it."""

    def __init__(self, config: Config, folder: RunFolder) -> None:
        import mlflow

        self.mlflow = mlflow
        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "nn_train"))
        if folder.exists(MLFLOW_RUN):
            mlflow.start_run(run_id=folder.read(MLFLOW_RUN).decode())
            return
        folder.write(MLFLOW_RUN, mlflow.start_run(run_name=config.title).info.run_id.encode())
        sections = config_to_dict(config)
        mlflow.log_params({f"{s}.{k}": v for s, d in sections.items() if isinstance(d, dict) for k, v in d.items()})
        mlflow.log_params({"seed": config.seed})

    def log(self, row: dict[str, Any]) -> None:
        numbers = {name: value for name, value in row.items() if isinstance(value, int | float) and name != "epoch"}
        self.mlflow.log_metrics(numbers, step=row["epoch"])

    def close(self) -> None:
        self.mlflow.end_run()
