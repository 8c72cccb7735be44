"""What a report is made from, and where it lies, so that it can be made again without the runs.

``collect_runs`` copies what is known of each run into the output folder (``predictions/<stem>.run.json``)
and lists the runs in ``evaluation.json``; ``load_inputs`` needs that folder alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from nn_train.errors import RequestError
from nn_train.evaluation.storage import replace_file
from nn_train.report.search_results import SearchResult, load_search

SCHEMA = 1
MANIFEST = "evaluation.json"
PREDICTIONS = "predictions"
IMAGES = "mistakes.npz"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run as its folder describes it.

    Attributes:
        name: what is shown; any text.
        stem: a name for files, unique within a report.
        config, result: config.yaml and result.json.
        history: the lines of metrics.jsonl, one per epoch.
    """

    name: str
    stem: str
    config: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything a report is made from; the predictions stay on disk until their turn comes.

    Attributes:
        predictions: the folder with ``<stem>.npz`` and ``<stem>.json``.
        images: test images by example id, at least those of the mistakes shown; may be empty.
    """

    runs: list[RunRecord]
    predictions: Path
    search: SearchResult | None = None
    images: dict[int, NDArray[Any]] = field(default_factory=dict)


def collect_runs(run_dirs: Sequence[Path], output_dir: Path, search_dir: Path | None = None) -> list[RunRecord]:
    """Begin an evaluation in ``output_dir``: note the runs there, and give each the stem of its files.

    Predictions of an earlier evaluation under the same stem are removed, so that they cannot pass for new
    ones. Runs that share a name are told apart by the name of the folder above them.

    Raises:
        RequestError: no run is given, or a folder is not that of a run or search.
    """
    if not run_dirs:
        raise RequestError("runs: at least one run folder is needed")
    found = [read_run(Path(folder)) for folder in run_dirs]
    names = distinct([str(result.get("name") or folder.name) for folder, _, result, _ in found], run_dirs)
    stems = distinct([re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "run" for name in names], ())
    records = [
        RunRecord(name=name, stem=stem, config=config, result=result, history=history)
        for name, stem, (_, config, result, history) in zip(names, stems, found, strict=True)
    ]
    predictions = output_dir / PREDICTIONS
    predictions.mkdir(parents=True, exist_ok=True)
    for record in records:
        for suffix in (".npz", ".json"):
            (predictions / (record.stem + suffix)).unlink(missing_ok=True)
        content = {"config": record.config, "result": record.result, "history": record.history}
        write_json(predictions / f"{record.stem}.run.json", content)
    listed = [{"name": record.name, "stem": record.stem} for record in records]
    write_json(output_dir / MANIFEST, {"schema": SCHEMA, "runs": listed, "search": search_dir is not None})
    if search_dir is not None:
        for name in ("search.json", "trials.csv"):
            replace_file(output_dir / name, read_text(Path(search_dir) / name, "search").encode())
    return records


def load_inputs(output_dir: Path) -> ReportInputs:
    """The inputs that ``collect_runs`` noted and ``store_predictions`` filled.

    Raises:
        RequestError: ``output_dir`` holds no evaluation.
    """
    manifest = parse_json(read_text(output_dir / MANIFEST, "evaluation"), output_dir / MANIFEST)
    folder = output_dir / PREDICTIONS
    records = []
    for entry in manifest["runs"]:
        path = folder / f"{entry['stem']}.run.json"
        records.append(RunRecord(**entry, **parse_json(read_text(path, "evaluation"), path)))
    images: dict[int, NDArray[Any]] = {}
    if (output_dir / IMAGES).exists():
        with np.load(output_dir / IMAGES, allow_pickle=False) as arrays:
            images = dict(zip(arrays["example_id"].tolist(), arrays["image"], strict=True))
    search = load_search(output_dir) if manifest["search"] else None
    return ReportInputs(runs=records, predictions=folder, search=search, images=images)


def read_run(folder: Path) -> tuple[Path, dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Folder, config, result and history of one run. A run without history or config is taken as it is."""
    result = parse_json(read_text(folder / "result.json", "run"), folder / "result.json")
    config_file, history_file = folder / "config.yaml", folder / "metrics.jsonl"
    config = yaml.safe_load(read_text(config_file, "run")) if config_file.exists() else {}
    lines = read_text(history_file, "run").splitlines() if history_file.exists() else []
    history = []
    for number, line in enumerate(lines, start=1):
        try:
            history.append(parse_json(line, history_file))
        except RequestError:
            if number < len(lines):
                raise
            # An interrupted run may have been cut off while it wrote its last line.
    return folder, config or {}, result, history


def distinct(names: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """The names, those that stand twice prefixed with the folder above theirs, then numbered."""
    named = list(names)
    if folders:
        twice = {name for name in names if names.count(name) > 1}
        named = [
            f"{Path(folder).absolute().parent.name}/{name}" if name in twice else name
            for name, folder in zip(names, folders, strict=True)
        ]
    result: list[str] = []
    for name in named:
        number, unique = 1, name
        while unique.lower() in [known.lower() for known in result]:  # file systems may ignore case
            number += 1
            unique = f"{name}-{number}"
        result.append(unique)
    return result


def read_text(path: Path, what: str) -> str:
    """The content of a file that every ``what`` folder has."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        article = "an" if what[0] in "aeiou" else "a"
        raise RequestError(
            f"{path}: cannot be read ({reason}); is {path.parent} the folder of {article} {what}?"
        ) from error


def parse_json(text: str, path: Path) -> Any:
    """JSON; NaN and Infinity, which Python writes but JSON does not know, are read as null."""
    try:
        return json.loads(text, parse_constant=lambda name: None)
    except ValueError as error:
        raise RequestError(f"{path}: not valid JSON: {error}") from error


def write_json(path: Path, content: Any) -> None:
    """JSON for people and programs; refuses NaN."""
    replace_file(path, (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
