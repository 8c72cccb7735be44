"""``train(config)``: from a config to a finished run, by way of Ray Train."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nn_train.config import Config
from nn_train.errors import RequestError, StorageError, TrainingError
from nn_train.events import Handler, Waiting, unheard
from nn_train.runs.own_code import own_code
from nn_train.runs.preflight import check_early, existing_run
from nn_train.runs.record import command_line, failed_record, read_finished
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.lease import hold


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        folder: its path or URI; the files are named in ``nn_train.storage.layout``.
        record: the content of its ``result.json``.
        trained: False when the run was already finished and nothing was done.
    """

    folder: str
    record: dict[str, Any] = field(repr=False)
    trained: bool

    @property
    def metrics(self) -> dict[str, float]:
        """The row of the best epoch: ``loss``, ``val_loss``, ``val_accuracy``, …"""
        return dict(self.record["metrics"]["best"])


def train(config: Config, on_event: Handler = unheard, verbose: bool = False) -> TrainResult:
    """Train the model of ``config`` on Ray, or continue the unfinished run of the same name.

    Args:
        config: the job. ``Config()`` trains the MLP on MNIST on two workers.
        on_event: called with every event (``nn_train.events``): ``Starting``, ``Waiting`` where the cluster is busy,
            ``Line`` where data are converted, ``Started``, ``StepsDone`` in long epochs, ``EpochEnded``,
            ``WorkersLost``, ``Leaving`` and ``Finished``.
        verbose: let the logs of Ray and TensorFlow through.

    Returns:
        The finished run; also when it was already finished, which then costs nothing.

    Raises:
        RequestError: the request is wrong, does not fit the cluster, or would mix two runs.
        TrainingError: training failed, also after ``run.max_failures`` restarts.
        KeyboardInterrupt: Ctrl-C; the run can be continued.
    """
    return train_all([config], on_event, verbose)[0]


def train_all(configs: Sequence[Config], on_event: Handler = unheard, verbose: bool = False) -> list[TrainResult]:
    """Train several models, one after another, on workers that are started once.

    Args:
        configs: jobs of different names with the same ``scaling`` and ``run`` sections.
        on_event: as for ``train``; every ``Started`` names its ``run``.
        verbose: let the logs of Ray and TensorFlow through.

    Returns:
        The finished runs in the order of ``configs``.

    Raises:
        As ``train``. The first run that fails ends all; those before it are finished, the next call skips them.
    """
    from nn_train.ray_cluster.session import preload_for, ray_session

    first = configs[0]
    if any((one.scaling, one.run) != (first.scaling, first.run) for one in configs):
        raise RequestError("scaling, run: jobs that share workers must have the same in both sections")
    folders = [ResultsFolder(config.run.storage_path, config.job_name) for config in configs]
    records = [existing_run(folder, config) for folder, config in zip(folders, configs, strict=True)]
    work = [(config, folder) for config, folder, done in zip(configs, folders, records, strict=True) if done is None]
    started_at = time.time()
    for config, _ in work:
        check_early(config, on_event=on_event)
    if work:

        def say(text: str) -> None:
            on_event(Waiting(text))

        ray = ray_session(verbose, ["nn_train.training.ray_train"], preload_for(first.scaling, "ray.train"))
        with hold([folder for _, folder in work], say), ray:
            for config, folder in work:
                existing_run(folder, config)  # again: until now another job could write there
            from nn_train.runs.worker import Job
            from nn_train.training.ray_train import run_on_ray

            jobs = [
                Job(config, folder, command_line(), started_at, own_code(config.functions.values()))
                for config, folder in work
            ]
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
                if job.folder.exists(layout.CONFIG):
                    record = failed_record(job.config.job_name, job.config.seed, error, job.command, job.started_at)
                    job.folder.write_json(layout.RESULT, record)
            return


def result_of(folder: ResultsFolder, finished_before: dict[str, Any] | None) -> TrainResult:
    """The result of a run that was finished before, or that was trained just now."""
    record = finished_before or read_finished(folder)
    if record is None:
        raise TrainingError(f"the workers ended without writing {folder.path(layout.RESULT)}")
    return TrainResult(folder=folder.location, record=record, trained=finished_before is None)
