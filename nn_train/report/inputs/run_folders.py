"""Reading the folders that a report is made of: those of runs and of searches; local or behind a URI."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nn_train import errors
from nn_train.errors import RequestError
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """What the files of one run say; empty where it has no such file.

    Attributes:
        config, result: config.yaml and result.json.
        history: the lines of metrics.jsonl, one per epoch.
    """

    config: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def find_runs(given: Sequence[str | Path]) -> tuple[list[ResultsFolder], list[ResultsFolder]]:
    """The folders of the runs that are meant, and those of the searches among them, each once.

    Args:
        given: paths or URIs; the folder of a search stands for the runs of its best models, sorted by name.

    Raises:
        RequestError: a search without runs.
        StorageError: the storage does not answer.
    """
    found: list[ResultsFolder] = []
    searches: dict[str, ResultsFolder] = {}
    for place in given:
        folder = as_folder(place)
        if not folder.exists(layout.SEARCH):
            found.append(folder)
            continue
        if folder.location in searches:
            continue
        searches[folder.location] = folder
        names = folder.folders(layout.BEST_RUNS)
        if not names:
            raise RequestError(
                f"--runs {folder.location}: the search has no run in {folder.path(layout.BEST_RUNS)}; "
                "is it finished? A report needs the run of at least one model"
            )
        found += [as_folder(folder.path(f"{layout.BEST_RUNS}/{name}")) for name in names]
    return found, list(searches.values())


def as_folder(place: str | Path | ResultsFolder) -> ResultsFolder:
    """The folder itself, or the one at a path or URI."""
    return place if isinstance(place, ResultsFolder) else ResultsFolder(str(place), field="--runs")


def read_run(folder: ResultsFolder) -> RunFiles:
    """Config, result and history of one run. A run without history or config is taken as it is."""
    result = parse_json(read_text(folder, layout.RESULT, "run"), folder.path(layout.RESULT))
    config = yaml.safe_load(read_text(folder, layout.CONFIG, "run")) if folder.exists(layout.CONFIG) else {}
    lines = read_text(folder, layout.METRICS, "run").splitlines() if folder.exists(layout.METRICS) else []
    history = []
    for number, line in enumerate(lines, start=1):
        try:
            history.append(parse_json(line, folder.path(layout.METRICS)))
        except RequestError:
            if number < len(lines):
                raise
            # An interrupted run may have been cut off while it wrote its last line.
    return RunFiles(config=config or {}, result=result, history=history)


def read_text(folder: ResultsFolder, name: str, what: str) -> str:
    """The content of a file that every ``what`` folder has; RequestError where there is none, or no text."""
    try:
        return folder.read(name).decode("utf-8")
    except (OSError, ValueError) as error:
        reason = errors.first_line(error) if isinstance(error, OSError) else "it is not text in UTF-8"
        article = "an" if what[0] in "aeiou" else "a"
        raise RequestError(
            f"{folder.path(name)}: cannot be read ({reason}); is {folder.location} the folder of {article} {what}?"
        ) from error


def parse_json(text: str, path: str) -> Any:
    """JSON; NaN and Infinity, which Python writes but JSON does not know, are read as null."""
    try:
        return json.loads(text, parse_constant=lambda name: None)
    except ValueError as error:
        raise RequestError(f"{path}: not valid JSON: {error}") from error
