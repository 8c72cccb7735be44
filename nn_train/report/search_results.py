"""A finished search as ``search.json`` and ``trials.csv`` describe it (columns: docs/report.md)."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from nn_train.errors import RequestError
from nn_train.runs import SEARCH, TRIALS

CONFIG_PREFIX = "config/"
COMPLETED = "completed"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One row of trials.csv.

    Attributes:
        value: the searched metric, None where the trial has none.
        params: the ``config/…`` columns without their prefix; numbers where every trial has a number.
    """

    trial_id: str
    status: str
    cause: str = ""
    value: float | None = None
    epochs: int = 0
    seconds: float | None = None
    params: dict[str, float | str] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """``value`` of a trial that has one."""
        if self.value is None:
            raise ValueError(f"trial {self.trial_id} has no value")
        return self.value


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The trials in the order in which they started.

    Attributes:
        rungs: epochs at which the scheduler compared trials; empty without one.
    """

    metric: str
    mode: str
    trials: list[Trial]
    algorithm: str = ""
    scheduler: str = ""
    rungs: tuple[int, ...] = ()
    seconds: float | None = None

    @property
    def params(self) -> list[str]:
        """The searched fields."""
        return list(self.trials[0].params) if self.trials else []

    @property
    def completed(self) -> list[Trial]:
        """Trials that ran to their end and have a value."""
        return [trial for trial in self.trials if trial.status == COMPLETED and trial.value is not None]

    def better(self, a: float, b: float) -> bool:
        """Whether ``a`` is better than ``b``."""
        return a > b if self.mode == "max" else a < b

    def ranked(self) -> list[Trial]:
        """Completed trials, the best first."""
        sign = -1 if self.mode == "max" else 1
        return sorted(self.completed, key=lambda trial: (sign * trial.score, trial.trial_id))


def load_search(folder: Path) -> SearchResult:
    """The search in a local folder. Raises RequestError when a file is missing or as ``parse_search`` does."""
    try:
        about, trials = ((folder / name).read_text(encoding="utf-8") for name in (SEARCH, TRIALS))
    except (OSError, ValueError) as error:
        raise RequestError(f"{folder}: {SEARCH} and {TRIALS} cannot be read as a search: {error!r}") from error
    return parse_search(about, trials, str(folder))


def parse_search(search_json: str, trials_csv: str, where: str) -> SearchResult:
    """A search from the content of its two files; ``where`` they are, for the message.

    Raises:
        RequestError: a text is not of its format, or lacks a field or column.
    """
    try:
        about = json.loads(search_json)
        # Runs that confirm the best with other seeds belong to the choice, not to the search itself.
        rows = [row for row in csv.DictReader(io.StringIO(trials_csv, newline="")) if row.get("phase") != "confirm"]
        names = [name for name in (rows[0] if rows else {}) if name.startswith(CONFIG_PREFIX)]
        numeric = {name for name in names if all(number_or_none(row[name]) is not None for row in rows)}
        metric = about["metric"]
        trials = [
            Trial(
                trial_id=row["trial_id"],
                status=row["status"],
                cause=row.get("cause") or "",
                value=number_or_none(row[metric]),
                epochs=int(number_or_none(row.get("epochs")) or 0),
                seconds=number_or_none(row.get("seconds")),
                params={
                    name[len(CONFIG_PREFIX) :]: float(row[name]) if name in numeric else row[name] for name in names
                },
            )
            for row in rows
        ]
        return SearchResult(
            metric=metric,
            mode=about["mode"],
            trials=trials,
            algorithm=about.get("algorithm") or "",
            scheduler=about.get("scheduler") or "",
            rungs=tuple(about.get("rungs") or ()),
            seconds=about.get("seconds"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise RequestError(f"{where}: {SEARCH} and {TRIALS} cannot be read as a search: {error!r}") from error


def number_or_none(text: str | None) -> float | None:
    """A finite number written in a CSV field, else None."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
