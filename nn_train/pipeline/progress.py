"""What a person sees of a pipeline: where it is, what it found, how long it will still take."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from nn_train.config import Config
from nn_train.pipeline.driver import PipelineResult
from nn_train.search import progress as search_progress
from nn_train.training import progress as training_progress
from nn_train.training.progress import counted, duration


class Progress:
    """Prints events. Give it to ``run_pipeline`` as ``on_event``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.config: Config | None = None  # whose events are coming
        self.inner: Any = None
        self.announced: set[str] = set()

    def __call__(self, event: dict[str, Any]) -> None:
        """Print one event."""
        kind = event["event"]
        if kind == "stage":
            left = f"  about {duration(event['left'])} left in all" if event["left"] is not None else ""
            self.print(f"\n[{event['number']}/{event['of']}] {event['title']}{left}")
            self.config = None
        elif kind == "line":
            self.print(event["text"])
        elif kind == "found":
            self.found(event)
        else:
            self.pass_on(event)

    def pass_on(self, event: dict[str, Any]) -> None:
        """An event of a search or of a training, to the one that prints those."""
        config = event["config"]
        if config != self.config or self.inner is None:
            self.config = config
            of_search = event["event"] in ("phase", "trial", "models")
            self.inner = (search_progress if of_search else training_progress).Progress(config, self.stream)
        # Workers start once for many runs: which one it is, is said when it starts.
        if event["event"] in ("start", "phase") and config.title not in self.announced:
            self.announced.add(config.title)
            self.inner.announce()
        self.inner(event)

    def found(self, event: dict[str, Any]) -> None:
        """What a search chose."""
        config, best, ran = event["config"], event["outcome"].best, event["outcome"].ran
        values = "  ".join(f"{name} {search_progress.shown(value)}" for name, value in best.values.items())
        number = best.value(config.search.metric)
        before = "" if ran else "already finished; "
        self.print(
            f"{before}best of {counted(len(event['outcome'].records), 'trial')}: {best.trial}  "
            f"{config.search.metric} {number:.4f}  {values}"
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
