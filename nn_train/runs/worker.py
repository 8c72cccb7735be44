"""The whole life of one worker: from the config to a trained model and the files of the run.

Knows MWMS and the run's folder, not Ray: a test, a benchmark or another launcher can call it as well.
The order of initialisation is: TensorFlow, strategy, data, model, checkpoint, callbacks.
"""

from __future__ import annotations

import math
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_train.config import Config, dump_yaml
from nn_train.config.schema import ScalingConfig
from nn_train.datasets.fingerprints import known, note
from nn_train.engine.addresses import release_addresses
from nn_train.engine.import_tensorflow import import_tensorflow
from nn_train.errors import RequestError, TrainingError
from nn_train.events import EpochEnded, Finished, Handler, Started, StepsDone, unheard
from nn_train.runs.agreement import found_by_all
from nn_train.runs.epochs import Training
from nn_train.runs.own_code import note_code
from nn_train.runs.printed import Printed
from nn_train.runs.record import NO_CODE, BytesRead, best_epoch, finished_record, read_finished, sizes
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder

if TYPE_CHECKING:
    import keras

    from nn_train.datasets import SplitData
    from nn_train.engine.chunks import PartialEpoch
    from nn_train.engine.loop import Loop
    from nn_train.engine.strategy import Replicas
    from nn_train.runs.callbacks import GivenCallbacks
    from nn_train.runs.loggers import Loggers


_trained: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()  # variables, by their id


@dataclass(frozen=True)
class Job:
    """What every worker is told.

    Attributes:
        config: the job.
        folder: the run's folder; only the chief writes to it.
        command: the command line that started the job, for ``result.json``.
        started_at: when, in seconds since 1970.
        code: of the user's, as ``own_code`` gave it when the job began, for ``result.json``.
    """

    config: Config
    folder: ResultsFolder
    command: tuple[str, ...]
    started_at: float
    code: Mapping[str, Any] = field(default_factory=lambda: NO_CODE)


@dataclass(frozen=True)
class WorkerContext:
    """What a worker and the place it runs in tell each other; by default nothing.

    Attributes:
        report: called on every worker at the same points with an event ; blocks are allowed.
        tell_hang: called from another thread with the seconds that some steps have taken, if that is far too long, and
            the ranks of workers that it then waits for, where that is known.
        asked_to_drain: whether the worker is to keep a checkpoint and end; the chief's answer counts.
        begun: the names of the runs that other workers of this job have begun: their folders must be there.
    """

    report: Handler = unheard
    tell_hang: Callable[[float, tuple[int, ...]], None] = lambda seconds, waits_for: None
    asked_to_drain: Callable[[], bool] = lambda: False
    begun: frozenset[str] = frozenset()


def run_worker(jobs: Sequence[Job], rank: int, size: int, context: WorkerContext) -> None:
    """Train one job after another as worker ``rank`` of ``size``. ``TF_CONFIG`` must be set.

    Args:
        jobs: the same on every worker, with one ``scaling`` section. Those that are finished are left out: workers
            that were started again go on with the others.
        rank, size: this worker's place.
        context: what it is connected with.

    Raises:
        RequestError: the data or the model cannot be trained on; nothing was written.
        DrainedError: the worker was asked to leave, and a checkpoint is kept.
        TrainingError: the loss became NaN or infinite; the last checkpoint stays.
    """
    replicas = join_process(jobs[0].config.scaling, rank, size)
    began_at = jobs[0].started_at
    for job in jobs:
        if job.config.job_name in context.begun:
            job.folder.expect()
        if job.config.run.overwrite or not is_finished(job.folder, replicas):
            train_replica(job, replicas, context, began_at)
        began_at = time.time()


def is_finished(folder: ResultsFolder, replicas: Replicas) -> bool:
    """Whether a run needs nothing more. Collective; the answer is the same on all workers."""
    return found_by_all(
        lambda: read_finished(folder) is not None, lambda done: [int(done or False)], replicas, folder.location
    )


def join_process(scaling: ScalingConfig, rank: int, size: int) -> Replicas:
    """Set TensorFlow up in this process and join the strategy that ``TF_CONFIG`` describes: a ``Replicas``."""
    import_tensorflow()
    from nn_train.engine.joining import join_strategy
    from nn_train.engine.strategy import configure_tensorflow

    configure_tensorflow(max(1, math.floor(scaling.cpus_per_worker)), scaling.use_gpu)
    release_addresses()
    return join_strategy(rank, size, scaling.use_gpu and scaling.gpus_per_worker == 1)


def train_replica(job: Job, replicas: Replicas, context: WorkerContext, began_at: float | None = None) -> None:
    """One job in a process that has joined its strategy.

    Args:
        job, context: as for ``run_worker``.
        replicas: a ``Replicas``.
        began_at: from when the run's wall time counts, in seconds since 1970; None: ``job.started_at``.
    """
    import keras

    from nn_train.datasets.augmentation import with_augmentation
    from nn_train.datasets.cache import load_for_run
    from nn_train.datasets.class_weights import with_class_weights
    from nn_train.engine.preparation import prepare_model
    from nn_train.runs.callbacks import given_callbacks

    config, printed = job.config, Printed(job.folder, replicas.rank)
    with printed.listening():
        # Layers are numbered from 1 again: the saved model is that of a process that trained nothing before.
        keras.backend.clear_session()
        data = with_class_weights(load_for_run(config.data, config.seed), config.train.class_weight)
        data = with_augmentation(data, config.data.augment)
        given = given_callbacks(config, replicas, job.folder.location)
        prepared = prepare_model(config, data, replicas, by_batches=given.by_batches)
        refuse_trained(prepared.model)
        loop = prepared.loop()
        Run(job, data, loop, given, context, printed, job.started_at if began_at is None else began_at).run()


class Run(Training):
    """A training that leaves the files of a run (named in ``nn_train.storage.layout``) and reports events."""

    def __init__(
        self,
        job: Job,
        data: SplitData,
        loop: Loop,
        given: GivenCallbacks,
        context: WorkerContext,
        printed: Printed,
        began_at: float,
    ) -> None:
        from nn_train.runs.chunk_hooks import TimedHooks
        from nn_train.runs.watchdog import Watchdog

        super().__init__(job.config, data, loop, given, job.folder.location)
        self.began_at, self.job, self.folder, self.report = began_at, job, job.folder, context.report
        self.printed, self.there = printed, False  # whether the run's folder has been begun
        self.loggers: Loggers | None = None
        self.code: dict[str, Any] = {}
        self.warnings: list[str] = []
        self.begun = job.config.job_name in context.begun
        tell, peers = context.tell_hang, self.replicas.peers
        waited_for = peers.waited_for if peers is not None else tuple
        self.watch = Watchdog(job.config.run.hang_timeout, lambda seconds: tell(seconds, waited_for()))
        every, asked = job.config.train.checkpoint_every_seconds, context.asked_to_drain
        self.hooks = self.timed = TimedHooks(every, self.replicas, self.keep_part, self.watch, asked, self.tell_steps)

    def run(self) -> None:
        """Continue from the newest checkpoint, or begin; end with ``result.json``."""
        self.watch.other()
        try:
            self.run_watched()
        finally:
            self.watch.end()
            if self.there:
                self.printed.keep()

    def run_watched(self) -> None:
        """``run``, while another thread sees that it goes on."""
        from nn_train.runs.loggers import KINDS, Loggers

        self.begin_together()
        self.there = True
        warnings = self.resume_newest()
        if self.replicas.is_chief:
            begun = len(self.history) + (self.partial is not None)
            self.code, changes = note_code(self.job.code, self.folder, begun)
            if changes:
                told = f"{', '.join(changes)} changed after epoch {begun}"
                warnings.append(f"{told}: the epochs to come are of other code")
        reading = BytesRead(self.loop, len(self.history))
        self.report(self.started(warnings))
        if self.replicas.is_chief:
            is_new = not self.history and self.partial is None
            makers = {name: partial(KINDS[name], self.config, self.folder) for name in self.config.run.loggers}
            self.loggers = Loggers(makers, self.warnings.append, TrainingError if is_new else None)
        for row in self.epochs():
            self.report(EpochEnded(row, self.config.train.epochs, [*self.warnings]))
            self.warnings.clear()
            self.printed.keep()
            if not self.complete:
                self.timed.drain_if_asked()
        if self.loggers is not None:
            self.loggers.close()
        result: dict[str, Any] = {}
        read = reading.record(len(self.history))
        if self.replicas.is_chief:
            made_of = (self.config, self.history, self.data, self.model, self.replicas.size, self.job.command)
            result = finished_record(*made_of, self.began_at, code=self.code, read=read)
            self.folder.write_json(layout.RESULT, result)
        self.report(Finished(result, self.warnings))

    def begin_together(self) -> None:
        """The chief begins the folder; the others look into it when it has, and must see what it wrote. Collective."""
        begin = self.begin_folder if self.replicas.is_chief else (lambda: None)
        found_by_all(begin, lambda _: [0], self.replicas, self.location)
        there = self.folder
        found_by_all(
            lambda: there.exists(layout.CONFIG), lambda seen: [int(seen or False)], self.replicas, self.location
        )

    def begin_folder(self) -> None:
        """Write ``config.yaml``; with ``run.overwrite`` replace an earlier job's run, once everything was checked."""
        if self.config.run.overwrite and not self.begun:
            self.folder.clear()
        for folder in ("", layout.CHECKPOINTS, layout.LOGS):
            self.folder.sweep(folder)
        if not self.folder.exists(layout.CONFIG):
            self.folder.write(layout.CONFIG, dump_yaml(self.config).encode())
        is_new = not self.folder.names(layout.CHECKPOINTS)  # then nothing was trained on, whatever it was
        note(self.folder, known(self.data, self.config.data), anew=is_new)

    def resume_newest(self) -> list[str]:
        """Go on from the newest intact checkpoint. Returns warnings, also about damaged ones."""
        from nn_train.runs import checkpoints

        damaged: list[str] = []
        warnings = self.resume(lambda: checkpoints.load_newest(self.folder, damaged.append))
        return damaged + warnings

    def keep_model(self) -> None:
        """``model.keras``."""
        if best_epoch(self.history) == len(self.history):
            save_model(self.model, self.folder)

    def keep_state(self) -> None:
        """``metrics.jsonl``, a checkpoint, and what loggers keep."""
        from nn_train.runs import checkpoints

        self.folder.write_lines(layout.METRICS, self.history)
        if self.loggers is not None:
            self.loggers.log(len(self.history), self.history[-1])
        checkpoints.save(self.folder, self.model, self.history, memories=self.callbacks.memories())

    def keep_part(self, partial: PartialEpoch) -> None:
        """A checkpoint within an epoch."""
        from nn_train.runs import checkpoints

        checkpoints.save(self.folder, self.model, self.history, partial, self.callbacks.memories())

    def tell_steps(self, step: int, loss_sum: float, pace: float) -> None:
        """Say how far a long epoch is, ``pace`` in steps a second."""
        batch_size, steps = self.loop.batch_size, self.loop.steps_per_epoch
        self.report(
            StepsDone(
                epoch=len(self.history) + 1,
                epochs=self.config.train.epochs,
                step=step,
                steps=steps,
                loss=loss_sum / (step * batch_size),
                samples_per_second=round(pace * batch_size, 1),
                seconds_left=(steps - step) / pace if steps is not None and pace else None,
            )
        )

    def started(self, warnings: list[str]) -> Started:
        """What a person wants to see before the first epoch."""
        return Started(
            run=self.config.job_name,
            parameters=self.model.count_params(),
            examples=sizes(self.data),
            resumed_after=len(self.history),
            resumed_step=self.partial.step if self.partial is not None else 0,
            steps_per_epoch=self.loop.steps_per_epoch,
            warnings=warnings,
        )


def save_model(model: keras.Model, folder: ResultsFolder) -> None:
    """Write ``model.keras``."""
    with tempfile.TemporaryDirectory() as local:
        saved = Path(local) / layout.MODEL
        model.save(saved)
        folder.write_file(layout.MODEL, saved)


def refuse_trained(model: keras.Model) -> None:
    """Raise RequestError where the user's function gave a model, or a layer, that an earlier run here has trained."""
    own = [layer.name for layer in model.layers if any(_trained.get(id(one)) is one for one in layer.variables)]
    if own:
        raise RequestError(
            f"model.name: the function gave {', '.join(own)} again, which an earlier run of this process has trained; "
            "make layers within the function, not beside it"
        )
    _trained.update({id(variable): variable for variable in model.variables})
