"""The epochs of one worker: train, validate, run the callbacks, decide when to stop. Leaves no files."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from nn_train.config import Config
from nn_train.errors import TrainingError
from nn_train.runs.agreement import found_by_all
from nn_train.runs.record import History, should_stop

if TYPE_CHECKING:
    import keras

    from nn_train.datasets import SplitData
    from nn_train.engine.chunks import ChunkHooks, PartialEpoch
    from nn_train.engine.loop import Loop
    from nn_train.runs.callbacks import GivenCallbacks
    from nn_train.runs.checkpoints import Checkpoint


class Training(ABC):
    """One training on one worker. A subclass says what the chief keeps of it.

    Args:
        config: the job.
        data: the examples.
        loop: trains and evaluates a model on them.
        given: the user's callbacks.
        location: the run's folder, for messages.

    Attributes:
        history: the rows of the epochs so far.
        partial: what an earlier process did of the next epoch.
        hooks: where epochs are interrupted; None: nowhere.
    """

    hooks: ChunkHooks | None = None

    def __init__(self, config: Config, data: SplitData, loop: Loop, given: GivenCallbacks, location: str) -> None:
        from nn_train.runs.callbacks import ChiefCallbacks

        self.config, self.model, self.data, self.loop = config, loop.model, data, loop
        self.replicas, self.location = loop.replicas, location
        self.history: History = []
        self.partial: PartialEpoch | None = None
        self.callbacks = loop.listener = ChiefCallbacks(config, given, loop)

    def resume(self, find: Callable[[], Checkpoint | None]) -> list[str]:
        """Go on from the ``Checkpoint`` that ``find`` gives, or begin; all workers alike. Collective.

        Returns:
            Warnings about what of it is not used.

        Raises:
            RequestError: the workers find different ones, or one of them cannot read it.
            Exception: what ``find`` raises; ValueError, when the checkpoint is another model's.
        """
        checkpoint = found_by_all(find, position, self.replicas, self.location)
        return self.go_on_from(checkpoint) if checkpoint is not None else []

    def go_on_from(self, checkpoint: Checkpoint) -> list[str]:
        """Take over everything of a ``Checkpoint``. Returns warnings about what of it is not used."""
        from nn_train.runs import checkpoints

        checkpoints.restore(self.model, checkpoint)
        self.loop.separate_seeds()
        self.history, self.partial = checkpoint.history, checkpoint.partial
        self.loop.pass_over(len(self.history))
        return self.callbacks.recall(list(checkpoint.memories))

    @property
    def complete(self) -> bool:
        """Whether no epoch is left: all were trained, or ``val_loss`` has stopped falling."""
        enough = len(self.history) >= self.config.train.epochs
        return enough or should_stop(self.history, self.config.train.early_stopping_patience)

    def epochs(self) -> Iterator[dict[str, Any]]:
        """Train to the end; gives the row of each epoch once everything of it is kept."""
        from nn_train.engine.averages import averaged

        self.callbacks.on_train_begin(resumed=bool(self.history or self.partial is not None))
        while not self.complete and not self.callbacks.on_epoch_begin(len(self.history), self.partial is not None):
            row = self.epoch()
            self.history.append(row)
            if self.replicas.is_chief:
                with averaged(self.model):
                    self.keep_model()
            self.callbacks.on_epoch_end(row["epoch"] - 1, {k: v for k, v in row.items() if k != "epoch"})
            row["learning_rate"] = learning_rate_of(self.model.optimizer)  # of the next step
            if self.replicas.is_chief:
                self.keep_state()
            yield row
        self.callbacks.on_train_end()

    @abstractmethod
    def keep_model(self) -> None:
        """Write the model, if the epoch was the best so far, before the user's callbacks change it. Chief only."""

    @abstractmethod
    def keep_state(self) -> None:
        """Write the row of the epoch, and what is needed to go on from here. Chief only."""

    def epoch(self) -> dict[str, Any]:
        """Train and validate once; the row of ``metrics.jsonl``."""
        from nn_train.engine.averages import averaged

        began = time.perf_counter()
        try:
            before = self.loop.batch_size * self.partial.step if self.partial is not None else 0
            logs = self.loop.train_epoch(len(self.history), self.partial, self.hooks)
            self.partial = None
            trained = time.perf_counter()
            with averaged(self.model):
                validation = self.loop.evaluate(self.hooks)
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
            "samples_per_second": round((examples - before) / (trained - began), 1),
            "world_size": self.replicas.size,
        }


def position(checkpoint: Checkpoint | None) -> tuple[int, int]:
    """Epochs, and steps of the next one, that are behind a ``Checkpoint``, or None."""
    if checkpoint is None:
        return 0, 0
    return checkpoint.epochs, checkpoint.partial.step if checkpoint.partial is not None else 0


def learning_rate_of(optimizer: keras.optimizers.Optimizer) -> float:
    """The rate of the next step, whether it is constant or follows a schedule."""
    import numpy as np

    rate = optimizer.learning_rate
    return float(np.asarray(getattr(rate, "value", rate)))
