"""The CSV files: full precision (the shortest text that reads back as the same float), one header line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from nn_train.evaluation.curves import Curve
from nn_train.evaluation.intervals import mean_over_seeds
from nn_train.report.inputs.runs import RunRecord
from nn_train.report.summary import ReportSummary

CURVE_COLUMNS = (
    "run", "class", "threshold_log_odds", "true_positives", "false_positives", "positives", "negatives"
)  # fmt: skip
HISTORY_FIELDS = (
    "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds", "samples_per_second",
    "world_size",
)  # fmt: skip
# MNIST test labels that people doubt: C. Northcutt, A. Athalye, J. Mueller, "Pervasive Label Errors in Test
# Sets Destabilize Machine Learning Benchmarks", 2021.
DOUBTFUL_MNIST = frozenset((947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729))


def write_rows(file: IO[str], rows: Iterable[Sequence[Any]]) -> None:
    """Rows in the project's dialect: comma, double quotes, line feed; None is an empty field."""
    csv.writer(file, lineterminator="\n").writerows(rows)


def to_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A whole CSV file."""
    buffer = io.StringIO()
    write_rows(buffer, [header])
    write_rows(buffer, rows)
    return buffer.getvalue()


class CurveWriter:
    """Writes curves.csv one curve at a time: 100 runs of MNIST are four million lines."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        write_rows(file, [CURVE_COLUMNS])

    def __call__(self, record: RunRecord, curve: Curve) -> None:
        """Append every point of one curve."""
        # Text joined by hand: csv.writer takes three times as long, and only the name can need quoting.
        start = to_text((record.name, curve.name), ()).rstrip("\n")
        end = f"{curve.positives},{curve.negatives}\n"
        points = zip(curve.thresholds.tolist(), curve.tp.tolist(), curve.fp.tolist(), strict=True)
        self.file.writelines([f"{start},{threshold!r},{tp},{fp},{end}" for threshold, tp, fp in points])


def confusion_csv(summary: ReportSummary) -> str:
    """Every cell of every run, then of every group: sum, mean and standard deviation over its seeds."""
    header = ("scope", "name", "true", "predicted", "count", "row_share", "mean", "sd", "seeds")
    return to_text(header, confusion_rows(summary))


def confusion_rows(summary: ReportSummary) -> Iterator[Sequence[Any]]:
    """The rows of confusion.csv."""
    for run in summary.evaluated():
        yield from cells("run", run.name, [run.its.confusion.tolist()])
    for group in summary.groups:
        matrices = [run.its.confusion.tolist() for run in summary.evaluated(group.label)]
        if matrices:
            yield from cells("group", group.label, matrices)


def cells(scope: str, name: str, matrices: list[list[list[int]]]) -> Iterator[Sequence[Any]]:
    """All cells of one matrix or of one group's matrices."""
    size = len(matrices[0])
    for true in range(size):
        total = sum(sum(matrix[true]) for matrix in matrices)
        for predicted in range(size):
            counts = [matrix[true][predicted] for matrix in matrices]
            spread: tuple[Any, ...] = (None, None, None)
            if scope == "group":
                mean, sd = mean_over_seeds([float(count) for count in counts])
                spread = (mean.value, sd.value, len(counts))
            yield (scope, name, true, predicted, sum(counts), sum(counts) / total if total else None, *spread)


def calibration_csv(summary: ReportSummary) -> str:
    """Every bin with examples of both binnings of every run."""
    header = (
        "run", "scheme", "bin", "lowest_confidence", "highest_confidence", "count", "mean_confidence", "accuracy",
        "accuracy_low", "accuracy_high",
    )  # fmt: skip
    rows = [
        (
            run.name, one.scheme, one.index, one.lowest, one.highest, one.count, one.mean_confidence,
            one.accuracy.value, *(one.accuracy.interval or (None, None)),
        )
        for run in summary.evaluated()
        for one in run.its.calibration.bins
    ]  # fmt: skip
    return to_text(header, rows)


def history_csv(summary: ReportSummary) -> str:
    """Every epoch of every run; fields that metrics.jsonl has beyond the usual ones follow those."""
    extra = sorted({name for run in summary.runs for line in run.record.history for name in line})
    fields = [*HISTORY_FIELDS, *(name for name in extra if name not in HISTORY_FIELDS)]
    rows = [[run.name, *(line.get(name) for name in fields)] for run in summary.runs for line in run.record.history]
    return to_text(["run", *fields], rows)


def errors_csv(summary: ReportSummary) -> str:
    """The most confident mistakes of every run, the surest first."""
    header = (
        "run", "rank", "example_id", "true", "predicted", "confidence", "true_probability", "label_doubtful"
    )  # fmt: skip
    rows = [
        (
            run.name, rank, mistake.example_id, mistake.true, mistake.predicted, mistake.confidence,
            mistake.true_probability, str(is_doubtful(data_source(run.record), mistake.example_id)).lower(),
        )
        for run in summary.evaluated()
        for rank, mistake in enumerate(run.its.mistakes, start=1)
    ]  # fmt: skip
    return to_text(header, rows)


def large_errors_csv(summary: ReportSummary) -> str:
    """The largest errors of every run of a regression, the largest first."""
    rows = [
        (run.name, rank, one.example_id, one.target, one.true, one.predicted, one.predicted - one.true)
        for run in summary.evaluated()
        for rank, one in enumerate(run.errors.largest, start=1)
    ]
    return to_text(("run", "rank", "example_id", "target", "true", "predicted", "error"), rows)


def data_source(record: RunRecord) -> str:
    """Where the test examples of a run are from: mostly its ``data.source``; empty when unknown."""
    about = record.result.get("data") or {}
    return str(about.get("tested_on") or about.get("source") or "")


def is_doubtful(source: str, example_id: int) -> bool:
    """Whether the true label of a test example is itself in doubt; known for MNIST only."""
    return source == "mnist" and example_id in DOUBTFUL_MNIST
