"""``train(config)``: from a config to a finished run, by way of Ray Train."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_train import runs
from nn_train.config import Config, config_from_dict, config_to_dict
from nn_train.config.parse import parse_yaml
from nn_train.errors import RequestError, StorageError, TrainingError
from nn_train.lease import hold
from nn_train.runs import RunFolder, first_line
from nn_train.training.record import failed_record, read_finished

OnEvent = Callable[[dict[str, Any]], None]
# Where, on how many workers and with how many checkpoints a run goes on does not make it another run.
IGNORED_SECTIONS = ("run", "scaling")
IGNORED_FIELDS = ("train.checkpoint_every_seconds",)


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        folder: its path or URI; the files are named in ``nn_train.runs``.
        record: the content of its ``result.json``.
        trained: False when the run was already finished and nothing was done.
    """

    folder: str
    record: dict[str, Any]
    trained: bool

    @property
    def metrics(self) -> dict[str, float]:
        """The row of the best epoch: ``loss``, ``val_loss``, ``val_accuracy``, …"""
        return dict(self.record["metrics"]["best"])


def train(config: Config, on_event: OnEvent = lambda event: None, verbose: bool = False) -> TrainResult:
    """Train the model of ``config`` on Ray, or continue the unfinished run of the same name.

    Args:
        config: the job. ``Config()`` trains the MLP on MNIST on two workers.
        on_event: called with every event: ``{"event": "starting", …}``, then ``waiting`` where the cluster is busy,
            ``start``, ``epoch``, ``failure`` and ``done``.
        verbose: let the logs of Ray and TensorFlow through.

    Returns:
        The finished run; also when it was already finished, which then costs nothing.

    Raises:
        RequestError: the request is wrong, does not fit the cluster, or would mix two runs.
        TrainingError: training failed, also after ``run.max_failures`` restarts.
        KeyboardInterrupt: Ctrl-C; the run can be continued.
    """
    return train_all([config], on_event, verbose)[0]


def train_all(
    configs: Sequence[Config], on_event: OnEvent = lambda event: None, verbose: bool = False
) -> list[TrainResult]:
    """Train several models, one after another, on workers that are started once.

    Args:
        configs: jobs of different names with the same ``scaling`` and ``run`` sections.
        on_event: as for ``train``; every ``start`` event names its ``run``.
        verbose: let the logs of Ray and TensorFlow through.

    Returns:
        The finished runs in the order of ``configs``.

    Raises:
        As ``train``. The first run that fails ends all; those before it are finished, the next call skips them.
    """
    from nn_train.training.cluster import ray_session

    first = configs[0]
    if any((one.scaling, one.run) != (first.scaling, first.run) for one in configs):
        raise RequestError("scaling, run: jobs that share workers must have the same in both sections")
    folders = [RunFolder(config.run.storage_path, config.title) for config in configs]
    records = [existing_run(folder, config) for folder, config in zip(folders, configs, strict=True)]
    work = [(config, folder) for config, folder, done in zip(configs, folders, records, strict=True) if done is None]
    started_at = time.time()
    for config, _ in work:
        check_early(config)
    if work:

        def say(text: str) -> None:
            on_event({"event": "waiting", "for": text})

        with hold([folder for _, folder in work], say), ray_session(verbose):
            for config, folder in work:
                existing_run(folder, config)  # again: until now another job could write there
            from nn_train.training.ray_train import run_on_ray
            from nn_train.training.worker import Job

            jobs = [Job(config, folder, command_line(), started_at) for config, folder in work]
            try:
                run_on_ray(jobs, on_event, verbose)
            except TrainingError as error:
                note_failure(jobs, error)
                raise
    return [result_of(folder, done) for folder, done in zip(folders, records, strict=True)]


def note_failure(jobs: Sequence[Any], error: TrainingError) -> None:
    """``result.json`` of the run that failed: the first that is not finished. None is written for one not begun."""
    for job in jobs:
        if read_finished(job.folder) is None:
            # The storage itself may be what failed; then it was waited for long enough.
            job.folder.patient = not isinstance(error, StorageError)
            with contextlib.suppress(StorageError):
                if job.folder.exists(runs.CONFIG):
                    job.folder.write_json(runs.RESULT, failed_record(job.config, error, job.command, job.started_at))
            return


def result_of(folder: RunFolder, finished_before: dict[str, Any] | None) -> TrainResult:
    """The result of a run that was finished before, or that was trained just now."""
    record = finished_before or read_finished(folder)
    if record is None:
        raise TrainingError(f"the workers ended without writing {folder.path(runs.RESULT)}")
    return TrainResult(folder=folder.location, record=record, trained=finished_before is None)


def existing_run(folder: RunFolder, config: Config) -> dict[str, Any] | None:
    """The record of a finished run of this config; None when there is something to do.

    Raises:
        RequestError: the folder holds another run, or something else.
    """
    if not folder.exists(runs.CONFIG):
        if not folder.is_empty():
            raise RequestError(f"name: {folder.location} exists and is not a run; give another --name")
        return None
    if config.run.overwrite:
        return None
    earlier = earlier_config(folder)
    differences = config_differences(earlier, config)
    if differences:
        shown = "; ".join(differences[:5]) + ("; …" if len(differences) > 5 else "")
        raise RequestError(
            f"name: {folder.location} holds a run of another config ({shown}); give another --name, "
            "or --run.overwrite true to replace it"
        )
    return read_finished(folder)


def earlier_config(folder: RunFolder) -> Config:
    """What ``config.yaml`` of a folder says. Raises RequestError when it is damaged."""
    text = folder.read(runs.CONFIG).decode(errors="replace")
    return config_from_dict(parse_yaml(text, folder.path(runs.CONFIG)))


def config_differences(earlier: Config, now: Config) -> list[str]:
    """``field: earlier → now`` for every field that makes it another run."""
    before, after = config_to_dict(earlier), config_to_dict(now)
    differences = []
    for section, content in after.items():
        if section in IGNORED_SECTIONS:
            continue
        pairs = content.items() if isinstance(content, dict) else [("", content)]
        for name, value in pairs:
            old, field = (before[section][name], f"{section}.{name}") if name else (before[section], section)
            if old != value and field not in IGNORED_FIELDS:
                differences.append(f"{field}: {old} → {value}")
    return differences


def check_early(config: Config) -> None:
    """Refuse before Ray starts what can be seen without the workers."""
    from importlib.util import find_spec

    from nn_train.datasets.sources import can_check_early, load_data

    if "mlflow" in config.run.loggers:
        if find_spec("mlflow") is None:
            raise RequestError("run.loggers: mlflow is not installed here; pip install mlflow, or leave it out")
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            raise RequestError("run.loggers: mlflow needs the environment variable MLFLOW_TRACKING_URI: where to write")
    check_storage(config.run.storage_path)
    if can_check_early(config.data.source) and config.data.source != "mnist":
        load_data(config.data)


def check_storage(storage_path: str) -> None:
    """Refuse a local path that cannot become a folder."""
    if "://" in storage_path:
        return
    path = Path(os.path.expanduser(storage_path)).absolute()
    try:
        while not path.exists():
            path = path.parent
    except OSError as error:  # a part of it that must not be looked at
        raise RequestError(f"run.storage_path: {storage_path}: {first_line(error)}") from error
    if not path.is_dir() or not os.access(path, os.W_OK):
        reason = "is not a folder" if not path.is_dir() else "is not writable"
        raise RequestError(f"run.storage_path: {storage_path}: {path} {reason}")


def command_line() -> tuple[str, ...]:
    """How this process was started, with ``python -m`` where that was used."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ("python", "-m", spec.name) if spec is not None else ("python", os.path.basename(sys.argv[0]))
    return (*program, *sys.argv[1:])


def scratch_folder() -> str:
    """Where Ray Train keeps what it insists on writing; nothing of it is part of the run."""
    return tempfile.mkdtemp(prefix="nn-train-")
