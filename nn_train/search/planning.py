"""``--dry-run``: what a search would cost, before it is begun."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nn_train.config import Config
from nn_train.config.wording import duration
from nn_train.search.journal import Record
from nn_train.storage.folder import ResultsFolder

PROBE_EPOCHS = 3  # the first one traces
FILES_PER_MODEL = 5  # weights alone once, and a model file with the two moments of its optimizer, about twice that


@dataclass(frozen=True)
class Pace:
    """How long a trial takes.

    Attributes:
        start: seconds until a process is ready for its first trial.
        epoch: seconds of one epoch.
        model_bytes: of the weights.
        source: where the numbers come from.
    """

    start: float
    epoch: float
    model_bytes: int
    source: str


@dataclass(frozen=True)
class Plan:
    """What is to run. ``reached``: trials at each rung and at the last epoch; ``extending``: of the best."""

    trials: int
    confirming: int
    reached: list[tuple[int, int]]
    epochs_worst: int
    epochs_expected: int
    at_a_time: int
    extending: int = 0


def rungs(config: Config) -> tuple[int, ...]:
    """The epochs at which ASHA compares trials, the last epoch not among them; empty for other schedulers."""
    search, epochs = config.search, config.train.epochs
    if search.scheduler != "asha":
        return ()
    steps = []
    rung = search.grace_epochs
    while rung < epochs:
        steps.append(rung)
        rung *= search.reduction_factor
    return tuple(steps)


def make_plan(config: Config, rungs: tuple[int, ...], open_trials: int, at_a_time: int, extending: int = 0) -> Plan:
    """Epochs and trials of the rungs; a scheduler without rungs is expected to stop none."""
    search, epochs = config.search, config.train.epochs
    confirming = search.confirm["top"] * search.confirm["seeds"] if search.confirm else 0
    going, before, expected, reached = open_trials, 0, 0, []
    for rung in (*rungs, epochs):
        expected += going * (rung - before)
        reached.append((rung, going))
        going, before = math.ceil(going / search.reduction_factor), rung
    again = (confirming + extending) * epochs
    worst = open_trials * epochs + again
    return Plan(open_trials, confirming, reached, worst, expected + again, at_a_time, extending)


def plan_lines(config: Config, plan: Plan, pace: Pace) -> list[str]:
    """The plan in words."""
    search = config.search
    again = f", {plan.extending} of the best again for {config.train.epochs} epochs" if plan.extending else ""
    again += f", and {plan.confirming} to confirm the best with other seeds" if plan.confirming else ""
    lines = [f"{plan.trials} trials to run{again}, {plan.at_a_time} at a time"]
    if len(plan.reached) > 1:
        rungs = ", ".join(f"epoch {epoch}: {count}" for epoch, count in plan.reached)
        lines.append(f"trials expected at each rung of {search.scheduler}: {rungs}")
    lines.append(f"epochs: about {plan.epochs_expected}, at most {plan.epochs_worst}")

    def seconds(epochs: int) -> float:
        return pace.start + epochs * pace.epoch / plan.at_a_time

    limit = f"; the budget is {duration(search.time_budget)}" if search.time_budget else ""
    expected, worst = duration(seconds(plan.epochs_expected)), duration(seconds(plan.epochs_worst))
    lines.append(f"time: about {expected}, at most {worst}, with {pace.epoch:.2f} s an epoch ({pace.source}){limit}")
    kept = search.keep_best + plan.confirming
    if not pace.model_bytes:  # known from a probe alone
        return lines
    lines.append(f"disk: about {kept * FILES_PER_MODEL * pace.model_bytes / 1e6:.0f} MB for {kept} models at a time")
    return lines


def pace_of(config: Config, records: list[Record], probe: Callable[[], Pace]) -> Pace:
    """From earlier trials of the search where there are enough of them, else from a measured probe."""
    known = [record for record in records if record.rows]
    if len(known) < 3:
        return probe()
    seconds = sorted((record.finished - record.started) / len(record.rows) for record in known)
    return Pace(10.0, seconds[len(seconds) // 2], 0, f"median of {len(known)} earlier trials")


def measure(config: Config, folder: ResultsFolder, workers: Callable[[], Any]) -> Pace:
    """Train the job itself, unvaried, for a few epochs. ``workers`` starts what one trial needs."""
    began = time.monotonic()
    started = workers()
    ready = time.monotonic()
    started.begin(config, folder, {})
    marks = [time.monotonic()]
    for _ in range(PROBE_EPOCHS):
        outcome = started.epoch()
        marks.append(time.monotonic())
        if outcome.done:
            break
    size = len(started.state()) // 3 if not outcome.cause else 0
    fastest = min(later - earlier for earlier, later in itertools.pairwise(marks))
    return Pace(ready - began + marks[1] - marks[0] - fastest, fastest, size, "a short probe of the unvaried job")
