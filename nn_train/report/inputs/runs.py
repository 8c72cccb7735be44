"""What a report is made from, and where it lies, so that it can be made again without the runs.

``collect_runs`` copies what is known of each run into the output folder (``predictions/<stem>.run.json``)
and lists the runs in ``evaluation.json``; the searches go to ``searches.json`` and ``trials.csv``.
``load_inputs`` needs that folder alone.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.errors import RequestError
from nn_train.report.inputs.run_folders import RunFiles, as_folder, parse_json, read_run, read_text
from nn_train.report.inputs.search_results import SearchResult, load_search, parse_search, read_rows
from nn_train.storage.atomic import write_whole
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import TRIALS

SCHEMA = 1
MANIFEST = "evaluation.json"
PREDICTIONS = "predictions"
IMAGES = "mistakes.npz"
SEARCHES = "searches.json"
NAME_COLUMN = "search"  # of trials.csv


@dataclass(frozen=True, kw_only=True)
class RunRecord(RunFiles):
    """One run as its folder describes it.

    Attributes:
        name: what is shown; any text.
        stem: a name for files, unique within a report.
    """

    name: str
    stem: str


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything a report is made from; the predictions stay on disk until their turn comes.

    Attributes:
        predictions: the folder with ``<stem>.npz`` and ``<stem>.json``.
        images: test images by example id, at least those of the mistakes shown; may be empty.
    """

    runs: list[RunRecord]
    predictions: Path
    searches: list[SearchResult] = field(default_factory=list)
    images: dict[int, NDArray[Any]] = field(default_factory=dict)


def collect_runs(
    run_dirs: Sequence[str | Path | ResultsFolder],
    output_dir: Path,
    searches: Sequence[str | Path | ResultsFolder] = (),
    tested_on: str | None = None,
) -> list[RunRecord]:
    """Begin an evaluation in ``output_dir``: note runs and searches there, and give each run the stem of its files.

    Predictions of an earlier evaluation under the same stem are removed, so that they cannot pass for new
    ones. Runs that share a name are told apart by the name of the folder above them; so are searches.

    Args:
        run_dirs: folders of runs, as paths or URIs; ``find_runs`` gives those of a search.
        searches: folders of the searches to show; one that is named twice is shown once.
        tested_on: the source of the test examples where it is not the runs' own; stands in ``result.data.tested_on``.

    Raises:
        RequestError: no run is given, or a folder is not that of a run or search; nothing is written then.
        StorageError: the storage of a run does not answer.
    """
    if not run_dirs:
        raise RequestError("runs: at least one run folder is needed")
    folders = [as_folder(place) for place in run_dirs]
    found = [read_run(folder) for folder in folders]
    if tested_on is not None:
        data = [{**(run.result.get("data") or {}), "tested_on": tested_on} for run in found]
        found = [replace(run, result={**run.result, "data": its}) for run, its in zip(found, data, strict=True)]
    shown = find_searches(searches)
    titles = [str(run.result.get("name") or folder.name) for run, folder in zip(found, folders, strict=True)]
    names = distinct(titles, [folder.parent_name for folder in folders])
    stems = distinct([re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "run" for name in names], ())
    records = [
        RunRecord(name=name, stem=stem, **vars(run)) for name, stem, run in zip(names, stems, found, strict=True)
    ]
    predictions = output_dir / PREDICTIONS
    predictions.mkdir(parents=True, exist_ok=True)
    for record in records:
        for suffix in (".npz", ".json"):
            (predictions / (record.stem + suffix)).unlink(missing_ok=True)
        content = {"config": record.config, "result": record.result, "history": record.history}
        write_json(predictions / f"{record.stem}.run.json", content)
    listed = [{"name": record.name, "stem": record.stem} for record in records]
    write_json(output_dir / MANIFEST, {"schema": SCHEMA, "runs": listed})
    store_searches(shown, output_dir)
    return records


def find_searches(places: Sequence[str | Path | ResultsFolder]) -> list[SearchResult]:
    """The searches in these folders, each once, under names that no two of them share."""
    folders = {folder.location: folder for folder in map(as_folder, places)}.values()
    found = [load_search(folder) for folder in folders]
    names = distinct([search.name for search in found], [folder.parent_name for folder in folders])
    return [replace(search, name=name) for search, name in zip(found, names, strict=True)]


def store_searches(searches: Sequence[SearchResult], output_dir: Path) -> None:
    """Write ``searches.json`` and ``trials.csv``; where there is no search, those of an earlier evaluation go."""
    if not searches:
        for name in (SEARCHES, TRIALS):
            (output_dir / name).unlink(missing_ok=True)
        return
    write_json(output_dir / SEARCHES, [{**search.about, "name": search.name} for search in searches])
    rows = [{**row, NAME_COLUMN: search.name} for search in searches for row in search.rows]
    columns = dict.fromkeys([NAME_COLUMN, *(column for row in rows for column in row)])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(output_dir / TRIALS, text.getvalue().encode())


def load_inputs(output_dir: Path) -> ReportInputs:
    """The inputs that ``collect_runs`` noted and ``store_predictions`` filled.

    Raises:
        RequestError: ``output_dir`` holds no evaluation.
    """
    folder = as_folder(output_dir)

    def noted(name: str) -> Any:
        return parse_json(read_text(folder, name, "evaluation"), folder.path(name))

    manifest = noted(MANIFEST)
    records = [RunRecord(**entry, **noted(f"{PREDICTIONS}/{entry['stem']}.run.json")) for entry in manifest["runs"]]
    images: dict[int, NDArray[Any]] = {}
    if (output_dir / IMAGES).exists():
        with np.load(output_dir / IMAGES, allow_pickle=False) as arrays:
            images = dict(zip(arrays["example_id"].tolist(), arrays["image"], strict=True))
    searches = load_searches(folder)
    return ReportInputs(runs=records, predictions=output_dir / PREDICTIONS, searches=searches, images=images)


def load_searches(folder: ResultsFolder) -> list[SearchResult]:
    """The searches that ``store_searches`` wrote, with stems for their figures."""
    if not folder.exists(SEARCHES):
        return []
    listed = parse_json(read_text(folder, SEARCHES, "evaluation"), folder.path(SEARCHES))
    rows = read_rows(folder, "evaluation")
    found = []
    for number, about in enumerate(listed, start=1):
        own = [row for row in rows if row[NAME_COLUMN] == about["name"]]
        stem = "search" if len(listed) == 1 else f"search_{number}"
        found.append(replace(parse_search(about, own, folder), stem=stem))
    return found


def distinct(names: Sequence[str], above: Sequence[str]) -> list[str]:
    """The names, those that stand twice prefixed with the folder ``above`` theirs, if given, then numbered."""
    named = list(names)
    if above:
        twice = {name for name in names if names.count(name) > 1}
        named = [f"{parent}/{name}" if name in twice else name for name, parent in zip(names, above, strict=True)]
    result: list[str] = []
    for name in named:
        number, unique = 1, name
        while unique.lower() in [known.lower() for known in result]:  # file systems may ignore case
            number += 1
            unique = f"{name}-{number}"
        result.append(unique)
    return result


def write_json(path: Path, content: object) -> None:
    """JSON for people and programs; refuses NaN."""
    write_whole(path, (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
