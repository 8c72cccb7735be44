"""One worker of the trials: a process that joins its strategy once and then trains one trial after another."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import math
import os
import signal
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nn_train.config import Config
from nn_train.config.options import is_entry_point
from nn_train.config.schema import ScalingConfig
from nn_train.config.tracebacks import own_traceback
from nn_train.engine.lost_peers import is_lost_peer
from nn_train.errors import RequestError, TrainingError
from nn_train.runs.printed import Printed
from nn_train.runs.worker import join_process
from nn_train.search.trial_training import TrialTraining, kept_checkpoint
from nn_train.storage.folder import ResultsFolder

if TYPE_CHECKING:
    from nn_train.config.schema import DataConfig
    from nn_train.datasets import SplitData
    from nn_train.runs.chunk_hooks import TimedHooks
    from nn_train.search.warm.models import WarmModel, WarmModels


@dataclass(frozen=True)
class Outcome:
    """What one call of ``TrialWorker.epoch`` gives.

    Attributes:
        rows: the rows of the trial so far.
        done: whether it has ended.
        cause: why it failed, else empty.
        numbers: ``draws`` and ``values`` that its best epoch was trained with, where these are others than now.
        mixed: whether epochs before the best one were trained with other values.
    """

    rows: list[dict[str, Any]]
    done: bool
    cause: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    mixed: bool = False


class TrialWorker:
    """Worker ``rank`` of ``size``; plain, so that a process can be one or a Ray actor can wrap it.

    Args:
        data: a ``SplitData`` shared by the trials of the node, or None: the process reads it itself.
    """

    def __init__(self, rank: int, size: int, data: SplitData | None = None) -> None:
        self.rank, self.size, self.data = rank, size, data
        self.read: tuple[DataConfig, int | None] | None = None  # what it was read for
        self.models: WarmModels
        self.hooks: TimedHooks
        self.model: WarmModel | None = None
        self.training: TrialTraining | None = None
        self.printed: Printed
        self.rows: Iterator[dict[str, Any]] = iter(())
        self.again = False  # whether the last epoch of a process that was killed is to be told again
        self.refused = ""

    def join(self, addresses: list[str], scaling: ScalingConfig) -> None:
        """Join the strategy of the workers at ``addresses`` (``host:port``, in the order of their ranks)."""
        task = {"type": "worker", "index": self.rank}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        replicas = join_process(scaling, self.rank, self.size)
        from nn_train.runs.chunk_hooks import TimedHooks
        from nn_train.runs.watchdog import Watchdog
        from nn_train.search.warm.models import WarmModels

        gc.freeze()  # what was imported: a million objects that no collection of garbage need look at
        self.models = WarmModels(replicas)
        # No checkpoints within epochs: only to see that the trial goes on. One that does not is run again elsewhere.
        watch = Watchdog(math.inf, lambda seconds: os.kill(os.getpid(), signal.SIGKILL))
        self.hooks = TimedHooks(
            math.inf, replicas, save=lambda partial: None, watch=watch, asked_to_drain=lambda: False
        )

    def begin(
        self, config: Config, folder: ResultsFolder, values: dict[str, Any], draws: dict[str, Any] | None = None
    ) -> str:
        """Make ready for the trial that sets ``values``; one that was lost goes on from its last checkpoint.

        Collective. ``draws``: what the values were made from, where they were drawn. Returns why the trial cannot be
        trained, else an empty text.
        """
        from nn_train.runs.callbacks import given_callbacks

        self.training, self.rows, self.model, self.refused = None, iter(()), None, ""  # nothing holds a graph any more
        self.printed = Printed(folder, self.rank)
        try:
            with self.printed.listening():
                data = self.load(config, values, folder.parent.parent)
                given = given_callbacks(config, self.models.replicas, folder.location)
                self.model = self.models.get(config, data, given.by_batches, once=given.unknown)
                training = TrialTraining(config, data, self.model.loop, given, folder, values, draws)
                self.hooks.watch.timeout = config.run.hang_timeout
                self.hooks.forget()
                training.hooks = self.hooks
                training.resume(lambda: kept_checkpoint(folder, values))
                self.again = bool(training.history)
                self.training, self.rows = training, training.epochs()
        except Exception as error:
            self.refused = cause_of(error)
        self.printed.keep()
        return self.refused

    def wear(self) -> str:
        """Why this process should be replaced: it holds much. Empty if it need not."""
        from nn_train.search.warm.models import TRACED_AT_MOST

        return "many traced models" if self.models.traced >= TRACED_AT_MOST else ""

    def load(self, config: Config, values: Collection[str], search: ResultsFolder) -> SplitData:
        """The examples; they are read again only for another ``data`` section, and where a function of the user's gives
        them for another seed, by which it may draw. ``values``: the fields that vary.

        A stream is made anew for each trial: its shuffles go on from pass to pass.
        """
        from nn_train.datasets import load_data
        from nn_train.datasets.augmentation import with_augmentation
        from nn_train.datasets.cache import seed_function
        from nn_train.datasets.class_weights import with_class_weights
        from nn_train.datasets.fingerprints import check_trial, varies_data

        may_draw = is_entry_point(config.data.source)
        wanted = (config.data, config.seed if may_draw else None)
        is_other = self.read != wanted if self.read is not None else may_draw and "seed" in values
        if self.data is None or self.data.is_stream or is_other:
            self.data = None  # of another trial, while this one's are made
            self.models.forget()  # which hold them as well
            seed_function(config.data.source, config.seed)
            data = dataclasses.replace(load_data(config.data, print), test=None)
            if varies_data(values) or (may_draw and "seed" not in values):  # by which a function may draw
                check_trial(data, search)
            self.data = data
        self.read = wanted
        return with_augmentation(with_class_weights(self.data, config.train.class_weight), config.data.augment)

    def epoch(self) -> Outcome:
        """Train one epoch more; where the trial goes on from its checkpoint, at first tell the epochs until there.

        Else an epoch would never be told of which the process before was killed after it had kept the state.

        Raises:
            Exception: another worker of the trial is gone.
        """
        training = self.training
        if training is None:
            return Outcome(rows=[], done=True, cause=self.refused)
        if self.again:
            self.again = False
            return Outcome(rows=training.history, **training.of_best(), done=training.complete)
        self.hooks.alive()
        try:
            with self.printed.listening():
                ended = next(self.rows, None) is None
        except Exception as error:
            return Outcome(rows=training.history, done=True, cause=cause_of(error))
        finally:
            self.hooks.watch.end()
            self.printed.keep()
        return Outcome(rows=training.history, **training.of_best(), done=ended or training.complete)

    def state(self) -> bytes:
        """The whole state between two epochs, which is kept in the trial's folder as well."""
        assert self.training is not None
        state = self.training.state()
        self.training.keep(state)
        return state

    def restore(self, content: bytes, of_other: bool) -> None:
        """Go on from what ``state`` gave. ``of_other``: of another trial; the settings of this one hold."""
        from nn_train.runs import checkpoints

        checkpoint = checkpoints.unpack(content)
        assert self.training is not None
        assert self.model is not None
        assert checkpoint is not None
        with self.model.rate_kept() if of_other else contextlib.nullcontext():
            (self.training.take_over if of_other else self.training.go_on_from)(checkpoint)
        self.again = False
        if of_other:
            self.model.turn(self.training.config)
            if self.rank == 0:
                self.training.keep(self.training.state())


def cause_of(error: Exception) -> str:
    """Why a trial failed, for a person; raises ``error`` again where a peer was lost: that is no fault of the trial."""
    import tensorflow as tf

    if is_lost_peer(error):
        raise error
    if isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
        return "out of memory; lower train.batch_size or model.hidden_units, or give a trial more memory"
    if isinstance(error, RequestError | TrainingError):
        return str(error)
    return own_traceback(error)
