"""Confusion matrices as tables; ``report.css`` switches them between counts, shares and spread, without a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_train.report.formats import NBSP, percent
from nn_train.report.page.parts import Cell, Grid, Row
from nn_train.report.summary import ReportSummary

MOST_CLASSES = 30  # a larger matrix is unreadable as a table; confusion.csv has it
MOST_RUNS = 10  # runs whose own matrix is in the page
SHADES = 9
TOP = 10


@dataclass(frozen=True)
class MatrixCell:
    """One cell in all its readings.

    Attributes:
        shade: CSS class: ``d1`` … on the diagonal, ``e1`` … for confusions, empty for none.
        spread: mean ± SD over the seeds, empty for a single run.
    """

    count: str
    share: str
    spread: str
    shade: str


@dataclass(frozen=True)
class Matrix:
    """One confusion matrix; row is the true class, column the predicted one."""

    key: str
    title: str
    seeds: int
    rows: Sequence[Sequence[MatrixCell]]


def matrices(summary: ReportSummary) -> list[Matrix]:
    """The shown run first, then every configuration with several runs, then the other runs while few."""
    if len(summary.class_names) > MOST_CLASSES:
        return []
    result = []
    if summary.shown:
        result.append(matrix("shown", f"Run {summary.shown.name}", [summary.shown.its.confusion]))
    for index, group in enumerate(summary.groups):
        runs = summary.evaluated(group.label)
        if len(runs) > 1 and index < MOST_RUNS:
            counts = [run.its.confusion for run in runs]
            result.append(matrix(f"g{index}", f"{group.label}: all {len(runs)} seeds", counts))
    others = [run for run in summary.evaluated() if run is not summary.shown]
    for index, run in enumerate(others if len(others) < MOST_RUNS else ()):
        result.append(matrix(f"r{index}", f"Run {run.name}", [run.its.confusion]))
    return result


def matrix(key: str, title: str, counts: Sequence[NDArray[np.int64]]) -> Matrix:
    """One run's counts, or those of several seeds: their sum, and mean ± SD."""
    stacked = np.stack(counts)
    total = stacked.sum(axis=0)
    support = total.sum(axis=1, keepdims=True)
    shares = np.divide(total, support, out=np.zeros(total.shape), where=support > 0)
    size = len(total)
    rows = []
    for true in range(size):
        row = []
        for predicted in range(size):
            values = stacked[:, true, predicted]
            spread = f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" if len(counts) > 1 else ""
            share = float(shares[true, predicted])
            text = percent(share, 1).removesuffix(f"{NBSP}%") if support[true, 0] else "–"
            row.append(MatrixCell(f"{total[true, predicted]:,}", text, spread, shade(share, true == predicted)))
        rows.append(row)
    return Matrix(key, title, len(counts), rows)


def shade(share: float, diagonal: bool) -> str:
    """Confusions are rare, so their shades grow with the root and are full at 5 % of a class."""
    strength = share if diagonal else min(1.0, share / 0.05) ** 0.5
    step = int(np.ceil(strength * SHADES))
    return f"{'d' if diagonal else 'e'}{step}" if step else ""


def top_confusions(summary: ReportSummary) -> Grid:
    """The most frequent confusions of the shown run, beside how often the seeds of its group make them."""
    header = ("true", "predicted as", "examples", "share of class", "mean over seeds")
    shown = summary.shown
    if shown is None:
        return Grid(header, ())
    counts = shown.its.confusion.copy()
    seeds = np.mean([run.its.confusion for run in summary.evaluated(shown.group)], axis=0)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:TOP]
    rows = []
    for true, predicted in zip(*np.unravel_index(order, counts.shape), strict=True):
        count = int(counts[true, predicted])
        if count:
            share = count / summary.support[true]
            mean = float(seeds[true, predicted])
            cells = [
                Cell(summary.class_names[true], float(true)),
                Cell(summary.class_names[predicted], float(predicted)),
                Cell(f"{count:,}", count),
                Cell(percent(share, 1), share),
                Cell(f"{mean:,.1f}", mean),
            ]
            rows.append(Row(cells))
    return Grid(header, rows)
