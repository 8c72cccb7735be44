"""From predictions on disk to everything the files and the page show, one run in memory at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nn_train.errors import RequestError
from nn_train.evaluation import Number, PredictionNote, Predictions
from nn_train.evaluation.comparison import Comparison, compare
from nn_train.evaluation.coverage import Coverage
from nn_train.evaluation.curves import Curve
from nn_train.evaluation.mistakes import Mistake, confident_mistakes
from nn_train.evaluation.run_evaluation import EXACT_ROWS, Aggregates, evaluate
from nn_train.evaluation.storage import load_predictions
from nn_train.report.inputs.grouping import Group, Selection, group_runs, select
from nn_train.report.inputs.runs import ReportInputs, RunRecord

DRAWN_POINTS = 2_000  # per micro curve kept for drawing; curves.csv has all of them


@dataclass(frozen=True, kw_only=True)
class EvaluatedRun(Aggregates):
    """The aggregates of one run, and what is drawn of it; nothing here grows with the test set but a bit an example."""

    note: PredictionNote
    micro: Curve
    curves: tuple[Curve, ...]
    mistakes: tuple[Mistake, ...]
    correct_bits: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run of the report; without ``evaluation`` there is a ``problem`` that says why.

    Attributes:
        group: the label of its group.
        style: the number of that, by which it has its colour.
        series: the name of its switch: ``r`` and its number in the report.
    """

    record: RunRecord
    group: str
    style: int
    series: str
    evaluation: EvaluatedRun | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        """The name shown."""
        return self.record.name

    @property
    def switches(self) -> str:
        """Name the switch of its group and its own, each of which hides it."""
        return f"g{self.style} {self.series}"

    @property
    def its(self) -> EvaluatedRun:
        """``evaluation`` of a run that has one."""
        assert self.evaluation is not None
        return self.evaluation

    def number(self, name: str) -> Number | None:
        """One of ``EvaluatedRun.numbers``, None for a run that could not be evaluated."""
        return self.evaluation.numbers[name] if self.evaluation else None


@dataclass(frozen=True, kw_only=True)
class ReportSummary:
    """What a report says.

    Attributes:
        shown: the run whose details are shown: the selected one, else the first that was evaluated.
        comparisons: each group's best run by validation against every other group's.
    """

    runs: list[RunSummary]
    groups: list[Group]
    selection: Selection
    shown: RunSummary | None
    comparisons: list[Comparison]
    examples: int
    class_names: list[str]
    support: list[int] = field(default_factory=list)

    def evaluated(self, group: str | None = None) -> list[RunSummary]:
        """The runs that have numbers, of one group or of all."""
        return [run for run in self.runs if run.evaluation and group in (None, run.group)]


def summarise(
    inputs: ReportInputs, on_curve: Callable[[RunRecord, Curve], None], exact_rows: int = EXACT_ROWS
) -> ReportSummary:
    """Evaluate every run.

    Args:
        on_curve: called with each curve of each run, all points included.

    Raises:
        RequestError: two runs were evaluated on different test sets, whose numbers do not compare.
        PredictionError: a predictions file is damaged.
    """
    groups = group_runs(inputs.runs)
    style_of = {run.name: style for style, group in enumerate(groups) for run in group.runs}
    usable = {run.name for run in inputs.runs if (inputs.predictions / f"{run.stem}.npz").exists()}
    selection = select(groups, usable)
    keep_curves = selection.run or next((run.name for run in inputs.runs if run.name in usable), None)
    runs: list[RunSummary] = []
    test_set = SharedTestSet()
    for place, record in enumerate(inputs.runs):
        style = style_of[record.name]
        run = RunSummary(record=record, group=groups[style].label, style=style, series=f"r{place}")
        if record.name in usable:
            predictions, note = load_predictions(inputs.predictions, record.stem)
            test_set.check(record, predictions)
            if predictions.problem:
                run = replace(run, problem=predictions.problem)
            else:
                its = evaluate_run(record, predictions, note, on_curve, record.name == keep_curves, exact_rows)
                run = replace(run, evaluation=its)
        else:
            run = replace(run, problem=f"no predictions; the run: {record.result.get('status') or 'has no status'}")
        runs.append(run)
    evaluated = {run.name for run in runs if run.evaluation}
    if selection.run and selection.run not in evaluated:
        selection = select(groups, evaluated)
    # The selected run, else the first that was evaluated.
    shown = sorted((run for run in runs if run.evaluation), key=lambda run: run.name != selection.run)
    return ReportSummary(
        runs=runs,
        groups=groups,
        selection=selection,
        shown=shown[0] if shown else None,
        comparisons=compare(representatives(groups, runs, evaluated, test_set.examples)),
        examples=test_set.examples,
        class_names=test_set.class_names,
        support=test_set.support,
    )


def evaluate_run(
    record: RunRecord,
    predictions: Predictions,
    note: PredictionNote,
    on_curve: Callable[[RunRecord, Curve], None],
    keep_curves: bool,
    exact_rows: int,
) -> EvaluatedRun:
    """Evaluate one run and drop everything that has a row per example."""
    kept: list[Curve] = []

    def handle(curve: Curve) -> None:
        on_curve(record, curve)
        if keep_curves or curve.label is None:
            kept.append(thinned(curve))

    evaluation = evaluate(predictions, handle, exact_rows)
    return EvaluatedRun(
        note=note,
        confusion=evaluation.confusion,
        per_class=evaluation.per_class,
        numbers=evaluation.numbers,
        calibration=evaluation.calibration,
        coverage=thinned_coverage(evaluation.coverage),
        micro=kept[-1],
        curves=tuple(kept[:-1]),
        mistakes=confident_mistakes(predictions, evaluation.scores),
        correct_bits=np.packbits(evaluation.scores.correct),
    )


def thinned(curve: Curve) -> Curve:
    """The curve with at most ``DRAWN_POINTS`` of its points, for drawing."""
    picked = pick(len(curve.thresholds))
    return replace(curve, thresholds=curve.thresholds[picked], tp=curve.tp[picked], fp=curve.fp[picked])


def thinned_coverage(coverage: Coverage) -> Coverage:
    """The coverage curve with at most ``DRAWN_POINTS`` of its points, for drawing."""
    picked = pick(len(coverage.answered))
    return Coverage(coverage.answered[picked], coverage.correct[picked], coverage.points, coverage.aurc)


def pick(length: int) -> NDArray[np.int64]:
    """Evenly spread indices of at most ``DRAWN_POINTS`` of ``length`` points, both ends included."""
    return np.unique(np.linspace(0, max(length - 1, 0), min(length, DRAWN_POINTS)).round().astype(np.int64))


def representatives(
    groups: Sequence[Group], runs: Sequence[RunSummary], evaluated: set[str], examples: int
) -> list[tuple[str, NDArray[np.bool_]]]:
    """For every group its best run by validation (the first, where none has a metric), and its hits [N]."""
    by_name = {run.name: run for run in runs if run.evaluation}
    result = []
    for group in groups:
        names = [run.name for run in group.runs if run.name in by_name]
        if names:
            name = select([group], evaluated).run or names[0]
            result.append((name, np.unpackbits(by_name[name].its.correct_bits, count=examples).astype(bool)))
    return result


class SharedTestSet:
    """The one test set of a report: that of its first run, which all the others must share."""

    def __init__(self) -> None:
        self.first: RunRecord | None = None
        self.fingerprint = ""
        self.examples = 0
        self.class_names: list[str] = []
        self.support: list[int] = []

    def check(self, record: RunRecord, predictions: Predictions) -> None:
        """Raise RequestError when ``predictions`` are for other examples than those of the first run."""
        content = predictions.example_id.tobytes() + predictions.y_true.tobytes() + str(predictions.classes).encode()
        fingerprint = hashlib.sha256(content).hexdigest()
        if self.first is None:
            self.first, self.fingerprint, self.examples = record, fingerprint, len(predictions)
            named = (record.result.get("data") or {}).get("class_names") or []
            full = len(named) == predictions.classes
            self.class_names = [str(named[k] if full else k) for k in range(predictions.classes)]
            self.support = np.bincount(predictions.y_true, minlength=predictions.classes).tolist()
        elif fingerprint != self.fingerprint:
            raise RequestError(
                f"runs: {self.first.name!r} and {record.name!r} were evaluated on different test sets, so their "
                "numbers do not compare; make one report for each test set, and where a function draws it, let it do "
                "so with a seed of its own, as each run has another"
            )
