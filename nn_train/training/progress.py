"""What a person sees while a run trains: one line an epoch, the same in a terminal and in a job's log."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from nn_train.config import Config
from nn_train.config.wording import counted, duration
from nn_train.events import (
    EpochEnded,
    Event,
    Finished,
    Leaving,
    Line,
    Row,
    Started,
    Starting,
    StepsDone,
    Waiting,
    WorkersLost,
)
from nn_train.training.driver import TrainResult


class Progress:
    """Prints events. Give it to ``train`` as ``on_event``."""

    def __init__(self, config: Config, stream: TextIO | None = None) -> None:
        self.config = config
        self.stream = stream or sys.stdout
        self.restarting = self.begun = False
        self.workers = config.scaling.num_workers  # started last

    def announce(self) -> None:
        """Say what is about to run, before anything slow begins."""
        config, scaling = self.config, self.config.scaling
        device = f"{scaling.gpus_per_worker:g} GPU" if scaling.use_gpu else f"{scaling.cpus_per_worker:g} CPU"
        epochs = counted(config.train.epochs, "epoch")
        at_least = f"{scaling.min_workers} to " if scaling.least_workers < scaling.num_workers else ""
        self.print(
            f"{config.job_name}: {config.model.name} on {config.data.source}, "
            f"{at_least}{counted(scaling.num_workers, 'worker')} of {device}, "
            f"batch {config.train.batch_size}, {epochs}"
        )

    def __call__(self, event: Event) -> None:
        """Print one event; those of other jobs are for others."""
        if isinstance(event, Starting):
            if not self.restarting or event.workers != self.workers:
                self.print(f"starting {counted(event.workers, 'worker')}")
            self.workers = event.workers
        elif isinstance(event, Waiting):
            self.print(f"waiting for {event.need}")
        elif isinstance(event, Line):
            self.print(event.text)
        elif isinstance(event, Started):
            self.started(event)
        elif isinstance(event, StepsDone):
            self.print(steps_line(event))
        elif isinstance(event, EpochEnded):
            self.print(epoch_line(event.row, event.epochs))
            self.warn(event.warnings)
        elif isinstance(event, Finished):
            self.warn(event.warnings)
        elif isinstance(event, Leaving):
            self.restarting = True
            self.print(f"{event.why}; going on with other workers once a checkpoint is kept")
        elif isinstance(event, WorkersLost):
            self.restarting = True
            for line in loss_lines(event):
                self.print(line)

    def started(self, event: Started) -> None:
        self.warn(event.warnings)
        examples, held = event.examples["train"], event.examples["validation"]
        shown = f"{examples:,} examples, {held or 0:,} held out, " if examples is not None else ""
        if not self.begun:
            self.print(
                f"training {event.parameters:,} parameters; {shown}{event.steps_per_epoch or '?'} steps an epoch"
            )
        if event.resumed_after or event.resumed_step:
            step = f" and {counted(event.resumed_step, 'step')}" if event.resumed_step else ""
            self.print(f"continuing after epoch {event.resumed_after}{step}")
        elif self.begun:
            self.print("beginning again: nothing had been kept yet")
        self.begun = True

    def finish(self, result: TrainResult) -> None:
        """Say how it ended and where the results are."""
        best = result.metrics
        numbers = "  ".join(f"{name} {best[name]:.4f}" for name in ("val_loss", "val_accuracy") if name in best)
        seconds = result.record["wall_seconds"]
        if result.trained:
            self.print(f"done in {seconds:.0f} s; best epoch {result.record['best_epoch']}  {numbers}".rstrip())
        else:
            self.print(f"already finished; best epoch {result.record['best_epoch']}  {numbers}".rstrip())
            self.print("to train it again: another --name, or --run.overwrite true")
        self.print(f"results in {result.folder}")

    def warn(self, warnings: Sequence[str]) -> None:
        for warning in warnings:
            self.print(f"warning: {warning}")

    def print(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


def steps_line(event: StepsDone) -> str:
    """``epoch 2/5, step 120/844  loss 0.1994  27,500 examples/s  40 s left of the epoch``."""
    left = f"  {duration(event.seconds_left)} left of the epoch" if event.seconds_left is not None else ""
    steps = f"{event.step}/{event.steps}" if event.steps is not None else f"{event.step}"
    where = f"epoch {event.epoch}/{event.epochs}, step {steps}"
    return f"{where}  loss {event.loss:.4f}  {event.samples_per_second:,.0f} examples/s{left}"


def epoch_line(row: Row, epochs: int) -> str:
    """``epoch 2/5  loss 0.1994  …  27,500 examples/s  1.9 s  6 s left``."""
    hidden = ("epoch", "seconds", "samples_per_second", "world_size", "learning_rate")
    shown = [name for name in row if name not in hidden and not is_element(name, row)]
    metrics = "  ".join(f"{name} {row[name]:.4f}" for name in shown)
    left = (epochs - row["epoch"]) * row["seconds"]
    pace = f"{row['samples_per_second']:,.0f} examples/s  {row['seconds']:.1f} s"
    return f"epoch {row['epoch']}/{epochs}  {metrics}  {pace}" + (f"  {duration(left)} left" if left else "")


def is_element(name: str, row: Row) -> bool:
    """Whether it is one of a metric's vector: ``metrics.jsonl`` has them, a line has no room for many."""
    metric, _, place = name.rpartition("_")
    return place.isdigit() and f"{metric}_0" in row


def loss_lines(event: WorkersLost) -> list[str]:
    """``worker 1 was lost: …; restarting (1 of 3)``, and what to change where that is known.

    From which epoch it goes on only the workers find out: a dying one may have kept an epoch without telling.
    """
    count = f" ({event.restart} of {event.restarts})" if event.restart else ""
    line = f"{event.what}; restarting{count}"
    return [line, event.advice] if event.advice else [line]
