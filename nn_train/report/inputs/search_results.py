"""A finished search as ``search.json`` and ``trials.csv`` describe it (columns: docs/report.md)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nn_train.errors import RequestError
from nn_train.report.inputs.run_folders import as_folder, parse_json, read_text
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import SEARCH, TRIALS

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
    """A search, and its trials in the order in which they started.

    Attributes:
        name: what is shown; one line, unique within a report.
        stem: what the names of its figures begin with, unique within a report.
        rungs: epochs at which the scheduler compared trials; empty without one.
        about, rows: the whole content of search.json and trials.csv, also what is not shown.
    """

    metric: str
    mode: str
    trials: list[Trial]
    name: str = ""
    stem: str = "search"
    rungs: tuple[int, ...] = ()
    seconds: float | None = None
    about: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, str]] = field(default_factory=list)

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


def load_search(place: str | Path | ResultsFolder) -> SearchResult:
    """The search in a folder. Raises RequestError when a file cannot be read or as ``parse_search`` does."""
    folder = as_folder(place)
    about = parse_json(read_text(folder, SEARCH, "search"), folder.path(SEARCH))
    return parse_search(about, read_rows(folder, "search"), folder)


def read_rows(folder: ResultsFolder, what: str) -> list[dict[str, str]]:
    """The rows of ``trials.csv`` in the folder of a ``what``; all line ends, also those in a field, are line feeds."""
    text = io.StringIO(read_text(folder, TRIALS, what), newline=None)
    try:
        rows = list(csv.DictReader(text, restval=""))
    except csv.Error as error:
        raise RequestError(f"{folder.path(TRIALS)}: not valid CSV: {error}") from error
    return [{name: value for name, value in row.items() if name is not None} for row in rows]


def parse_search(about: Any, rows: Sequence[dict[str, str]], folder: ResultsFolder) -> SearchResult:
    """A search from the content of its two files; a search without a name has that of its ``folder``.

    Raises:
        RequestError: the content is not of its format, or lacks a field or column.
    """
    try:
        # Runs that confirm the best with other seeds belong to the choice, not to the search itself.
        searched = [row for row in rows if row.get("phase") != "confirm"]
        # A column without any value is that of another search in the same table.
        columns = [name for name in (searched[0] if searched else {}) if name.startswith(CONFIG_PREFIX)]
        names = [name for name in columns if any(row[name] for row in searched)]
        numeric = {name for name in names if all(number_or_none(row[name]) is not None for row in searched)}
        metric = about["metric"]
        trials = [
            Trial(
                trial_id=row["trial_id"],
                status=row["status"],
                cause=row.get("cause", ""),
                value=number_or_none(row[metric]),
                epochs=int(number_or_none(row.get("epochs")) or 0),
                seconds=number_or_none(row.get("seconds")),
                params={
                    name[len(CONFIG_PREFIX) :]: float(row[name]) if name in numeric else row[name] for name in names
                },
            )
            for row in searched
        ]
        return SearchResult(
            metric=metric,
            mode=about["mode"],
            trials=trials,
            name=" ".join(str(about.get("name") or folder.name).split()),
            rungs=tuple(about.get("rungs") or ()),
            seconds=about.get("seconds"),
            about=about,
            rows=list(rows),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        where = folder.location
        raise RequestError(f"{where}: {SEARCH} and {TRIALS} cannot be read as a search: {error!r}") from error


def number_or_none(text: str | None) -> float | None:
    """A finite number written in a CSV field, else None."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
