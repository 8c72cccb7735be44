"""One call from inputs to the report's files."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.evaluation.run_evaluation import EXACT_ROWS
from nn_train.evaluation.storage import npz_bytes
from nn_train.report import tables
from nn_train.report.figures.confidence import confidence_panels
from nn_train.report.figures.cost import cost_panels
from nn_train.report.figures.curves import class_curve_panels, run_curve_panels
from nn_train.report.figures.errors import error_panel, target_panels
from nn_train.report.figures.learning import learning_panels
from nn_train.report.figures.overview import accuracy_panel, class_panel
from nn_train.report.figures.panel import Panel
from nn_train.report.figures.search import search_panels
from nn_train.report.importance import Importance, importance
from nn_train.report.inputs.runs import IMAGES, ReportInputs, write_json
from nn_train.report.inputs.search_results import SearchResult
from nn_train.report.metrics_json import metrics
from nn_train.report.page.mistakes import MistakeCard, mistake_cards
from nn_train.report.page.model_card import model_card
from nn_train.report.page.page import render_page
from nn_train.report.summary import ReportSummary, summarise
from nn_train.storage.atomic import whole_file, write_whole

OF_CLASSES = ("curves.csv", "confusion.csv", "calibration.csv")
Images = Mapping[int, NDArray[Any]]  # by example id


def render(
    inputs: ReportInputs,
    output_dir: Path,
    images: Mapping[str, Images] | None = None,
    exact_rows: int = EXACT_ROWS,
) -> Path:
    """Write every file of the report into ``output_dir``; the same inputs give the same bytes.

    Args:
        images: for each run, by the stem of its record, test images [H, W] or [H, W, C] by example id; at least those
            of its mistakes, where there are such. Those shown are kept in ``mistakes.npz``, so that the report can be
            made again without the data. None: those that were kept.
        exact_rows: above this number of test examples curves come from histograms.

    Returns:
        The path of report.html.

    Raises:
        RequestError: the runs were not evaluated on one test set.
        PredictionError: a predictions file is damaged.
    """
    figures = output_dir / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for left in output_dir.glob("*.part"):  # by one that was killed while it wrote
        left.unlink()
    with whole_file(output_dir / "curves.csv") as file:
        table = io.TextIOWrapper(file, encoding="utf-8", newline="")
        summary = summarise(inputs, tables.CurveWriter(table), exact_rows)
        table.detach()  # writes what is left of it
    importances = [importance(search) for search in inputs.searches]
    panels = make_panels(summary, inputs.searches, importances)
    shown_images = inputs.images if images is None else keep_images(summary, images, output_dir)
    cards = mistake_cards(summary, shown_images)
    write_json(output_dir / "metrics.json", metrics(summary))
    texts = {
        **task_tables(summary),
        "history.csv": tables.history_csv(summary),
        "README.md": model_card(summary),
        "report.html": render_page(summary, panels, cards, inputs.searches, importances),
    }
    write_figures(figures, itertools.chain(*panels.values()), cards)
    for name, text in texts.items():
        write_whole(output_dir / name, text.encode())
    for name in OF_CLASSES if summary.is_regression else ():  # of an earlier report, or without a curve
        (output_dir / name).unlink(missing_ok=True)
    return output_dir / "report.html"


def task_tables(summary: ReportSummary) -> dict[str, str]:
    """The tables of the report's task, by the names of their files."""
    if summary.is_regression:
        return {"errors.csv": tables.large_errors_csv(summary)}
    return {
        "confusion.csv": tables.confusion_csv(summary),
        "calibration.csv": tables.calibration_csv(summary),
        "errors.csv": tables.errors_csv(summary),
    }


def make_panels(
    summary: ReportSummary, searches: Sequence[SearchResult], importances: Sequence[Importance | str]
) -> dict[str, list[Panel]]:
    """Draw everything: the figures by their place in the page, those of a search by its stem."""
    drawn = {"learning": learning_panels(summary), "cost": cost_panels(summary)}
    if summary.is_regression:
        drawn |= {"by_run": error_panel(summary), "target_figures": target_panels(summary)}
    else:
        drawn |= {
            "by_run": accuracy_panel(summary),
            "by_class": class_panel(summary),
            "class_curves": class_curve_panels(summary),
            "run_curves": run_curve_panels(summary),
            "confidence": confidence_panels(summary),
        }
    drawn |= {search.stem: search_panels(search, its) for search, its in zip(searches, importances, strict=True)}
    return {place: list(panels) for place, panels in drawn.items()}


def keep_images(summary: ReportSummary, images: Mapping[str, Images], output_dir: Path) -> Images:
    """The images of the mistakes shown, also written to ``mistakes.npz``, which goes where there are none."""
    shown = summary.shown
    mistakes = shown.its.mistakes if shown and not summary.is_regression else ()
    of_run = images.get(shown.record.stem, {}) if shown else {}
    kept = {mistake.example_id: of_run[mistake.example_id] for mistake in mistakes if mistake.example_id in of_run}
    if kept:
        ids = sorted(kept)
        content = {"example_id": np.array(ids, np.int64), "image": np.array([kept[i] for i in ids])}
        write_whole(output_dir / IMAGES, npz_bytes(content))
    else:
        (output_dir / IMAGES).unlink(missing_ok=True)
    return kept


def write_figures(folder: Path, panels: Iterable[Panel], cards: Sequence[MistakeCard]) -> None:
    """One SVG a figure and one PNG a mistake; those of an earlier report go."""
    for pattern in ("*.svg", "mistake_*.png"):
        for old in folder.glob(pattern):
            old.unlink()
    for panel in panels:
        write_whole(folder / f"{panel.key}.svg", panel.svg.encode())
    for card in cards:
        if card.png is not None:
            write_whole(folder / f"mistake_{card.example_id}.png", card.png)
