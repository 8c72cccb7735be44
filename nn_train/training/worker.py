"""The whole life of one worker: from the config to a trained model and the files of the run.

Knows MWMS and the run's folder, not Ray: a test, a benchmark or another launcher can call it as well.
The order of initialisation is: TensorFlow, strategy, data, model, checkpoint, callbacks.
"""

from __future__ import annotations

import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nn_train import runs
from nn_train.config import Config, dump_yaml
from nn_train.errors import RequestError, TrainingError
from nn_train.runs import RunFolder
from nn_train.selection import History, best_epoch, should_stop

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """What every worker is told.

    Attributes:
        config: the job.
        folder: the run's folder; only the chief writes to it.
        command: the command line that started the job, for ``result.json``.
        started_at: when, in seconds since 1970.
    """

    config: Config
    folder: RunFolder
    command: tuple[str, ...]
    started_at: float


def run_worker(job: Job, rank: int, size: int, report: Report) -> None:
    """Train as worker ``rank`` of ``size``. ``TF_CONFIG`` must be set.

    Args:
        job: the same on every worker.
        rank, size: this worker's place.
        report: called on every worker at the same points with an event (``{"event": …}``); blocks are allowed.

    Raises:
        RequestError: the data or the model cannot be trained on; nothing was written.
        TrainingError: the loss became NaN or infinite; the last checkpoint stays.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # tf.keras in the user's code must be Keras 3 as well
    # TensorFlow turns oneDNN on by itself only for processors with AVX-512; with AVX2 it still made the CNN
    # 1.5 times as fast (5.8 to 3.7 s for 100 steps of 128 on one core of an AMD EPYC).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    from nn_train.replication import configure_tensorflow, join_strategy

    scaling = job.config.scaling
    configure_tensorflow(max(1, math.floor(scaling.cpus_per_worker)), scaling.use_gpu)
    train_replica(job, join_strategy(rank, size, scaling.use_gpu and scaling.gpus_per_worker == 1), report)


def train_replica(job: Job, replicas: Any, report: Report) -> None:
    """The same in a process that has joined its strategy already (``replicas``: a ``Replicas``)."""
    import keras

    from nn_train.datasets import load_data
    from nn_train.loop import Loop
    from nn_train.preparation import one_hot_depth, prepare_model

    config = job.config
    # Before the data: a shuffle without a seed of its own then has the same order on all workers.
    keras.utils.set_random_seed(config.seed)
    data = load_data(config.data)
    model = prepare_model(config, data, replicas)
    loop = Loop(model, data, replicas, config.train.batch_size, config.seed, one_hot_depth(config, model))
    Training(job, model, data, loop, report).run()


class Training:
    """The epochs of one worker, and on the chief the files they leave."""

    def __init__(self, job: Job, model: Any, data: Any, loop: Any, report: Report) -> None:
        from nn_train.callbacks import ChiefCallbacks

        self.job, self.config, self.folder = job, job.config, job.folder
        self.model, self.data, self.loop, self.report = model, data, loop, report
        self.replicas = loop.replicas
        self.history: History = []
        self.callbacks = ChiefCallbacks(self.config, model, self.replicas, self.folder.location)

    def run(self) -> None:
        """Continue from the newest checkpoint, or begin; end with ``result.json``."""
        from nn_train.loggers import make_loggers

        if self.replicas.is_chief:
            self.begin_folder()
        warnings = self.resume()
        self.report(self.start_event(warnings))
        loggers = make_loggers(self.config, self.folder) if self.replicas.is_chief else []
        self.callbacks.on_train_begin()
        while len(self.history) < self.config.train.epochs:
            if should_stop(self.history, self.config.train.early_stopping_patience):
                break
            if self.callbacks.on_epoch_begin(len(self.history)):
                break
            row = self.epoch()
            self.history.append(row)
            if self.replicas.is_chief:
                self.write_epoch()
                for logger in loggers:
                    logger.log(row)
            self.callbacks.on_epoch_end(row["epoch"] - 1, {k: v for k, v in row.items() if k != "epoch"})
            if self.replicas.is_chief:
                self.write_checkpoint()
            self.report({"event": "epoch", "row": row, "epochs": self.config.train.epochs})
        self.callbacks.on_train_end()
        for logger in loggers:
            logger.close()
        result = self.result() if self.replicas.is_chief else {}
        if self.replicas.is_chief:
            self.folder.write_json(runs.RESULT, result)
        self.report({"event": "done", "result": result})

    def begin_folder(self) -> None:
        """Write ``config.yaml``; with ``run.overwrite`` replace an earlier job's run, once everything was checked."""
        if self.config.run.overwrite:
            mark = str(self.job.started_at).encode()
            if not self.folder.exists(runs.REPLACED_BY) or self.folder.read(runs.REPLACED_BY) != mark:
                self.folder.clear()
                self.folder.write(runs.REPLACED_BY, mark)  # so that a restarted worker goes on instead
        if not self.folder.exists(runs.CONFIG):
            self.folder.write(runs.CONFIG, dump_yaml(self.config).encode())

    def resume(self) -> list[str]:
        """Load the newest intact checkpoint, on all workers alike. Returns warnings about damaged ones."""
        from nn_train import checkpoints
        from nn_train.replication import same_on_all, separate_seeds

        warnings: list[str] = []
        checkpoint = checkpoints.load_newest(self.folder, warnings.append)
        if checkpoint is not None:
            checkpoints.restore(self.model, checkpoint)
            separate_seeds(self.model, self.replicas)
            self.history = checkpoint.history
        seen = same_on_all(len(self.history), self.replicas)  # also a barrier: now the chief has written its file
        if not (seen and same_on_all(int(self.folder.exists(runs.CONFIG)), self.replicas)):
            raise RequestError(
                f"run.storage_path: the workers do not see the same {self.folder.location}; on several machines it "
                "must be a shared folder (NFS) or a URI such as s3://bucket/results"
            )
        return warnings

    def epoch(self) -> dict[str, Any]:
        """Train and validate once; the row of ``metrics.jsonl``."""
        began = time.perf_counter()
        try:
            logs = self.loop.train_epoch(len(self.history))
            trained = time.perf_counter()
            validation = self.loop.evaluate()
        except FloatingPointError as error:
            kept = f"; the state after epoch {len(self.history)} is kept" if self.history else ""
            raise TrainingError(
                f"{error}, and the run stopped there{kept}. Lower optimizer.learning_rate, or look for extreme values "
                "in the data"
            ) from error
        examples = logs.pop("examples")
        logs |= {f"val_{name}": value for name, value in validation.items()}
        ordered = {name: logs.pop(name) for name in ("loss", "accuracy", "val_loss", "val_accuracy") if name in logs}
        return {
            "epoch": len(self.history) + 1,
            **ordered,
            **logs,
            "learning_rate": learning_rate_of(self.model.optimizer),
            "seconds": round(time.perf_counter() - began, 4),
            "samples_per_second": round(examples / (trained - began), 1),
            "world_size": self.replicas.size,
        }

    def write_epoch(self) -> None:
        """``metrics.jsonl``, and ``model.keras`` when this epoch is the best so far."""
        self.folder.write_lines(runs.METRICS, self.history)
        if best_epoch(self.history) == len(self.history):
            with tempfile.TemporaryDirectory() as local:
                saved = Path(local) / runs.MODEL
                self.model.save(saved)
                self.folder.write_file(runs.MODEL, saved)

    def write_checkpoint(self) -> None:
        from nn_train import checkpoints

        checkpoints.save(self.folder, self.model, self.history)

    def start_event(self, warnings: list[str]) -> dict[str, Any]:
        """What a person wants to see before the first epoch."""
        return {
            "event": "start",
            "parameters": self.model.count_params(),
            "examples": self.examples(),
            "resumed_after": len(self.history),
            "steps_per_epoch": self.loop.steps_per_epoch,
            "warnings": warnings,
        }

    def examples(self) -> dict[str, int | None]:
        """How many examples each part has; None where a stream does not tell."""

        def count(part: Any) -> int | None:
            return None if part is None or not hasattr(part, "size") else int(part.size)

        parts = {"train": self.data.train, "validation": self.data.validation, "test": self.data.test}
        return {name: count(part) for name, part in parts.items()}

    def result(self) -> dict[str, Any]:
        """The content of ``result.json``; its fields are described in ``docs/train.md``."""
        best = best_epoch(self.history)
        finished = time.time()
        classes = self.data.num_classes
        return {
            "schema": 1,
            "name": self.config.title,
            "status": "finished",
            "best_epoch": best,
            "epochs": len(self.history),
            "metrics": {"best": self.history[best - 1], "final": self.history[-1]},
            "seed": self.config.seed,
            "data": {
                "source": self.config.data.source,
                "sha256": self.data.sha256,
                "examples": self.examples(),
                "num_classes": classes,
                "class_names": [str(label) for label in range(classes)] if classes else None,
            },
            "model": {"name": self.config.model.name, "parameters": self.model.count_params()},
            "versions": versions(),
            "command": list(self.job.command),
            "wall_seconds": round(finished - self.job.started_at, 3),
            "world_size": self.replicas.size,
            "device": "GPU" if self.config.scaling.use_gpu else platform.processor() or platform.machine(),
            "started_at": iso_time(self.job.started_at),
            "finished_at": iso_time(finished),
        }


def learning_rate_of(optimizer: Any) -> float:
    """The rate of the next step, whether it is constant or follows a schedule."""
    import numpy as np

    rate = optimizer.learning_rate
    return float(np.asarray(getattr(rate, "value", rate)))


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    found = {"python": sys.version.split()[0]}
    for package in ("tensorflow", "keras", "ray", "numpy", "nn_train"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            import nn_train

            found[package] = nn_train.__version__
    return found


def iso_time(seconds: float) -> str:
    """UTC in ISO 8601, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
