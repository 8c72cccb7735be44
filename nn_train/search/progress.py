"""What a person sees of a search: a line when the best changes, else one now and then, and a table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from nn_train.config import Config, value_text
from nn_train.config.cli import how_to_start
from nn_train.config.wording import counted, duration
from nn_train.events import Event, Line, PhaseStarted, TrialEnded, Waiting, Warned, WritingModels
from nn_train.search.driver import SearchOutcome
from nn_train.search.phases import contenders
from nn_train.search.results import MIXED

QUIET_SECONDS = 10.0  # between two lines that tell nothing but how far it is
SHOWN = 5
TELLING = 3  # the first trials hold the start of the processes, and say little of how long the others take
PHASES = {
    "search": "searching: {open}",
    "extend": "training {open} of the best for {epochs} epochs",
    "confirm": "training the best again with other seeds: {open}",
}


class Progress:
    """Prints the events of a search. Give it to ``search`` as ``on_event``."""

    def __init__(
        self, config: Config, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.config, self.stream, self.clock = config, stream or sys.stdout, clock
        self.best: float | None = None
        self.open, self.ended, self.began, self.said = 0, 0, clock(), 0.0

    def announce(self) -> None:
        """Say what is about to run."""
        config, search = self.config, self.config.search
        each = f"{config.scaling.num_workers} workers" if config.scaling.num_workers > 1 else "1 worker"
        self.print(
            f"{config.job_name}: {search.algorithm} search over {', '.join(search.space)}; {search.scheduler}, "
            f"at most {counted(config.train.epochs, 'epoch')}, {each} a trial"
        )

    def __call__(self, event: Event) -> None:
        """Print one event; those of other jobs are for others."""
        if isinstance(event, PhaseStarted):
            self.phase(event)
        elif isinstance(event, TrialEnded):
            self.trial(event)
        elif isinstance(event, Waiting):
            self.print(f"waiting for {event.need}")
        elif isinstance(event, Line):
            self.print(event.text)
        elif isinstance(event, Warned):
            self.print(f"warning: {event.text}")
        elif isinstance(event, WritingModels):
            self.print(f"writing the {event.count} best models" if event.count > 1 else "writing the best model")

    def phase(self, event: PhaseStarted) -> None:
        self.open, self.ended, self.began, self.said = event.open, 0, self.clock(), self.clock()
        starts = "" if event.known or event.phase != "search" else "; their processes start first, in some seconds"
        open_trials = counted(event.open, "trial")
        self.print(PHASES[event.phase].format(open=open_trials, epochs=self.config.train.epochs) + starts)
        if event.known and event.phase == "search":
            self.print(f"{counted(event.known, 'trial')} ended before; not run again")

    def trial(self, event: TrialEnded) -> None:
        self.ended += 1
        value, sign = event.value, -1 if self.config.search.lower_is_better else 1
        better = value is not None and (self.best is None or sign * value > sign * self.best)
        if better:
            self.best = value
        if better or self.ended == self.open or self.clock() - self.said >= QUIET_SECONDS:
            self.said = self.clock()
            result = self.config.search.metric + (f" {value:.4f}" if value is not None else ": none")
            mark = "  best so far" if better else f"  (best {self.best:.4f})" if self.best is not None else ""
            left = (self.open - self.ended) * (self.clock() - self.began) / self.ended
            pace = f"  {duration(left)} left" if TELLING <= self.ended < self.open else ""
            self.print(f"trial {self.ended}/{self.open}  {event.trial}  {event.status}  {result}{mark}{pace}")

    def finish(self, outcome: SearchOutcome) -> None:
        """The best trials as a table, the failures by cause, and where the results are."""
        search, summary = self.config.search, outcome.summary
        if not outcome.ran:
            self.print("already finished; raise --search.num_trials or --train.epochs to go on")
        self.print("")
        best = contenders(self.config, outcome.records)[:SHOWN]
        names = list(dict.fromkeys(name for record in best for name in record.values))
        rows = [["trial", search.metric, "epochs", *(name.partition(".")[2] or name for name in names)]]
        for record in best:
            numbers = [f"{record.value(search.metric):.4f}", str(len(record.rows))]
            rows.append([record.trial, *numbers, *(shown(record.values.get(name)) for name in names)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            self.print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
        if outcome.best.mixed:
            self.print(f"{outcome.best.trial}: {MIXED}")
        for group in summary["confirmed"]:
            spread = f" ± {group['sd']:.4f}" if group["sd"] is not None else ""
            self.print(f"{group['trial']} with {len(group['values'])} other seeds: {group['mean']:.4f}{spread}")
        for failure in summary["failures"]:
            self.print(f"{failure['trials']} failed: {failure['cause']}")
        counts = ", ".join(f"{count} {status}" for status, count in summary["trials"].items() if count)
        self.print(f"{counts} in {duration(summary['seconds'])}; {summary['ended']}")
        self.print(f"train the best: {how_to_start('train', f'{outcome.folder}/best.yaml')}")
        self.print(f"results in {outcome.folder}")

    def print(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


def shown(value: object) -> str:
    """A value in a table."""
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else value_text(value)
