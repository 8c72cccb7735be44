"""The whole life of one worker: from the config to a trained model and the files of the run.

Knows MWMS and the run's folder, not Ray: a test, a benchmark or another launcher can call it as well.
The order of initialisation is: TensorFlow, strategy, data, model, checkpoint, callbacks.
"""

from __future__ import annotations

import functools
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_train import runs
from nn_train.config import Config, dump_yaml
from nn_train.config.options import is_entry_point
from nn_train.config.schema import DataConfig, ScalingConfig
from nn_train.import_tensorflow import import_tensorflow
from nn_train.runs import RunFolder
from nn_train.selection import best_epoch
from nn_train.training.addresses import release_addresses
from nn_train.training.agreement import found_by_all
from nn_train.training.epochs import Training
from nn_train.training.record import finished_record, read_finished, sizes


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


@dataclass(frozen=True)
class Surroundings:
    """What a worker and the place it runs in tell each other; by default nothing.

    Attributes:
        report: called on every worker at the same points with an event (``{"event": …}``); blocks are allowed.
        tell_hang: called from another thread with the seconds that some steps have taken, if that is far too long.
        asked_to_leave: whether the worker is to keep a checkpoint and end; the chief's answer counts.
        begun: the names of the runs that other workers of this job have begun: their folders must be there.
    """

    report: Callable[[dict[str, Any]], None] = lambda event: None
    tell_hang: Callable[[float], None] = lambda seconds: None
    asked_to_leave: Callable[[], bool] = lambda: False
    begun: frozenset[str] = frozenset()


def run_worker(jobs: Sequence[Job], rank: int, size: int, surroundings: Surroundings) -> None:
    """Train one job after another as worker ``rank`` of ``size``. ``TF_CONFIG`` must be set.

    Args:
        jobs: the same on every worker, with one ``scaling`` section. Those that are finished are left out: workers
            that were started again go on with the others.
        rank, size: this worker's place.
        surroundings: what it is connected with.

    Raises:
        RequestError: the data or the model cannot be trained on; nothing was written.
        LeavingError: the worker was asked to leave, and a checkpoint is kept.
        TrainingError: the loss became NaN or infinite; the last checkpoint stays.
    """
    replicas = join_process(jobs[0].config.scaling, rank, size)
    began_at = jobs[0].started_at
    for job in jobs:
        if job.config.title in surroundings.begun:
            job.folder.expect()
        if not is_finished(job, replicas):
            train_replica(job, replicas, surroundings, began_at)
        began_at = time.time()


def is_finished(job: Job, replicas: Any) -> bool:
    """Whether a run needs nothing more. Collective; the answer is the same on all workers."""

    def look() -> bool:
        return read_finished(job.folder) is not None and not job.config.run.overwrite

    return found_by_all(look, lambda done: [int(done or False)], replicas, job.folder.location)


def join_process(scaling: ScalingConfig, rank: int, size: int) -> Any:
    """Set TensorFlow up in this process and join the strategy that ``TF_CONFIG`` describes: a ``Replicas``."""
    import_tensorflow()
    from nn_train.replication import configure_tensorflow, join_strategy

    configure_tensorflow(max(1, math.floor(scaling.cpus_per_worker)), scaling.use_gpu)
    release_addresses()
    return join_strategy(rank, size, scaling.use_gpu and scaling.gpus_per_worker == 1)


def train_replica(job: Job, replicas: Any, surroundings: Surroundings, began_at: float | None = None) -> None:
    """One job in a process that has joined its strategy.

    Args:
        job, surroundings: as for ``run_worker``.
        replicas: a ``Replicas``.
        began_at: from when the run's wall time counts, in seconds since 1970; None: ``job.started_at``.
    """
    import keras

    from nn_train.loop import Loop
    from nn_train.preparation import one_hot_depth, prepare_model

    config = job.config
    # Layers are numbered from 1 again: the saved model is that of a process that trained nothing before.
    keras.backend.clear_session()
    # Before the data: a shuffle without a seed of its own then has the same order on all workers.
    keras.utils.set_random_seed(config.seed)
    data = load(config.data)
    model = prepare_model(config, data, replicas)
    loop = Loop(model, data, replicas, config.train.batch_size, config.seed, one_hot_depth(config, model))
    Run(job, model, data, loop, surroundings, job.started_at if began_at is None else began_at).run()


def load(data: DataConfig) -> Any:
    """The examples. A function of the user's is called for every run: it may draw random numbers."""
    from nn_train.datasets import load_data

    return load_data(data) if is_entry_point(data.source) else load_once(data)


@functools.lru_cache(maxsize=1)
def load_once(data: DataConfig) -> Any:
    """The examples of a file or a built-in name, read once for all runs of this process."""
    from nn_train.datasets import load_data

    return load_data(data)


class Run(Training):
    """A training that leaves the files of a run (named in ``nn_train.runs``) and reports events."""

    def __init__(self, job: Job, model: Any, data: Any, loop: Any, surroundings: Surroundings, began_at: float) -> None:
        from nn_train.training.pauses import TimedPauses
        from nn_train.training.watchdog import Watchdog

        super().__init__(job.config, model, data, loop, job.folder.location)
        self.began_at, self.job, self.folder, self.report = began_at, job, job.folder, surroundings.report
        self.loggers: Any = None
        self.warnings: list[str] = []
        self.begun = job.config.title in surroundings.begun
        self.watch = Watchdog(job.config.run.hang_timeout, surroundings.tell_hang)
        every, asked = job.config.train.checkpoint_every_seconds, surroundings.asked_to_leave
        self.pauses = TimedPauses(every, self.replicas, self.keep_part, self.watch, asked)

    def run(self) -> None:
        """Continue from the newest checkpoint, or begin; end with ``result.json``."""
        self.watch.other()
        try:
            self.run_watched()
        finally:
            self.watch.end()

    def run_watched(self) -> None:
        """The same, while another thread sees that it goes on."""
        from nn_train.loggers import Loggers

        self.begin_together()
        warnings = self.resume_newest()
        self.report(self.start_event(warnings))
        if self.replicas.is_chief:
            is_new = not self.history and self.partial is None
            self.loggers = Loggers(self.config, self.folder, must_work=is_new)
        for row in self.epochs():
            warnings, self.warnings = self.warnings, []
            self.report({"event": "epoch", "row": row, "epochs": self.config.train.epochs, "warnings": warnings})
            if not self.complete:
                self.pauses.leave_if_asked()
        warnings = self.loggers.close() if self.loggers is not None else []
        result: dict[str, Any] = {}
        if self.replicas.is_chief:
            world_size, job = self.replicas.size, self.job
            result = finished_record(
                self.config, self.history, self.data, self.model, world_size, job.command, self.began_at
            )
            self.folder.write_json(runs.RESULT, result)
        self.report({"event": "done", "result": result, "warnings": warnings})

    def begin_together(self) -> None:
        """The chief begins the folder; the others look into it when it has, and must see what it wrote. Collective."""
        begin = self.begin_folder if self.replicas.is_chief else (lambda: None)
        found_by_all(begin, lambda _: [0], self.replicas, self.location)
        there = self.folder
        found_by_all(lambda: there.exists(runs.CONFIG), lambda seen: [int(seen or False)], self.replicas, self.location)

    def begin_folder(self) -> None:
        """Write ``config.yaml``; with ``run.overwrite`` replace an earlier job's run, once everything was checked."""
        if self.config.run.overwrite and not self.begun:
            self.folder.clear()
        for folder in ("", runs.CHECKPOINTS):
            self.folder.sweep(folder)
        if not self.folder.exists(runs.CONFIG):
            self.folder.write(runs.CONFIG, dump_yaml(self.config).encode())

    def resume_newest(self) -> list[str]:
        """Go on from the newest intact checkpoint. Returns warnings, also about damaged ones."""
        from nn_train import checkpoints

        damaged: list[str] = []
        warnings = self.resume(lambda: checkpoints.load_newest(self.folder, damaged.append))
        return damaged + warnings

    def keep_epoch(self, row: dict[str, Any]) -> None:
        """``metrics.jsonl``, and ``model.keras`` when this epoch is the best so far."""
        self.folder.write_lines(runs.METRICS, self.history)
        if best_epoch(self.history) == len(self.history):
            save_model(self.model, self.folder)
        if self.loggers is not None:
            self.warnings += self.loggers.log(row)

    def keep_state(self) -> None:
        """A checkpoint."""
        from nn_train import checkpoints

        checkpoints.save(self.folder, self.model, self.history, memories=self.callbacks.memories())

    def keep_part(self, partial: Any) -> None:
        """A checkpoint within an epoch."""
        from nn_train import checkpoints

        checkpoints.save(self.folder, self.model, self.history, partial, self.callbacks.memories())

    def start_event(self, warnings: list[str]) -> dict[str, Any]:
        """What a person wants to see before the first epoch."""
        return {
            "event": "start",
            "run": self.config.title,
            "parameters": self.model.count_params(),
            "examples": sizes(self.data),
            "resumed_after": len(self.history),
            "resumed_step": self.partial.step if self.partial is not None else 0,
            "steps_per_epoch": self.loop.steps_per_epoch,
            "warnings": warnings,
        }


def save_model(model: Any, folder: RunFolder) -> None:
    """Write ``model.keras``."""
    with tempfile.TemporaryDirectory() as local:
        saved = Path(local) / runs.MODEL
        model.save(saved)
        folder.write_file(runs.MODEL, saved)
