"""What a person sees of a pipeline: where it is, what it found, how long it will still take."""

from __future__ import annotations

import sys
from typing import TextIO

from nn_train.config import Config
from nn_train.config.wording import counted, duration
from nn_train.events import (
    About,
    Event,
    Line,
    PhaseStarted,
    SearchEnded,
    StageStarted,
    Started,
    TrialEnded,
    Warned,
    WritingModels,
)
from nn_train.pipeline.driver import PipelineResult
from nn_train.search import progress as search_progress
from nn_train.training import progress as training_progress


class Progress:
    """Prints events. Give it to ``run_pipeline`` as ``on_event``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.config: Config | None = None  # whose events are coming
        self.inner: search_progress.Progress | training_progress.Progress | None = None
        self.announced: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Print one event."""
        if isinstance(event, StageStarted):
            left = f"  about {duration(event.left)} left in all" if event.left is not None else ""
            self.print(f"\n[{event.number}/{event.of}] {event.title}{left}")
            self.config = None
        elif isinstance(event, Line):
            self.print(event.text)
        elif isinstance(event, SearchEnded):
            self.search_ended(event)
        elif isinstance(event, About):
            self.pass_on(event.config, event.event)

    def pass_on(self, config: Config, event: Event) -> None:
        """An event of a search or of a training, to the one that prints those."""
        of_search = isinstance(event, PhaseStarted | TrialEnded | WritingModels | Warned)
        # The first event of a search can be that it waits, as that of a training.
        other_kind = of_search and not isinstance(self.inner, search_progress.Progress)
        if config != self.config or self.inner is None or other_kind:
            self.config = config
            self.inner = (search_progress if of_search else training_progress).Progress(config, self.stream)
        # Workers start once for many runs: which one it is, is said when it starts.
        if isinstance(event, Started | PhaseStarted) and config.job_name not in self.announced:
            self.announced.add(config.job_name)
            self.inner.announce()
        self.inner(event)

    def search_ended(self, event: SearchEnded) -> None:
        """What a search chose."""
        values = "  ".join(f"{name} {search_progress.shown(value)}" for name, value in event.values.items())
        before = "" if event.ran else "already finished; "
        self.print(
            f"{before}best of {counted(event.trials, 'trial')}: {event.best}  "
            f"{event.metric} {event.value:.4f}  {values}"
        )

    def finish(self, result: PipelineResult) -> None:
        """Where everything is; the last line is the report."""
        if result.ran:
            self.print(f"done in {duration(result.record['seconds'])}; everything is in {result.folder}")
        else:
            self.print("already finished; to run it again: another --name, or --run.overwrite true")
        self.print(result.report)

    def print(self, line: str) -> None:
        print(line, file=self.stream, flush=True)
