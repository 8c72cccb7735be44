"""From predictions on disk to everything the files and the page show, one run in memory at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nn_train.errors import RequestError
from nn_train.evaluation import AnyPredictions, Number, Predictions
from nn_train.evaluation.comparison import Comparison, ErrorComparison, compare, compare_errors
from nn_train.evaluation.predictions import MULTICLASS, REGRESSION
from nn_train.evaluation.run_evaluation import EXACT_ROWS
from nn_train.evaluation.storage import load_predictions
from nn_train.report.evaluated import Evaluated, EvaluatedClasses, EvaluatedNumbers, OnCurve, evaluate_run
from nn_train.report.inputs.grouping import Group, Selection, group_runs, select
from nn_train.report.inputs.runs import ReportInputs, RunRecord


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
    evaluation: Evaluated | None = None
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
    def its(self) -> EvaluatedClasses:
        """``evaluation`` of a run of class scores that has one."""
        assert isinstance(self.evaluation, EvaluatedClasses)
        return self.evaluation

    @property
    def errors(self) -> EvaluatedNumbers:
        """``evaluation`` of a regression that has one."""
        assert isinstance(self.evaluation, EvaluatedNumbers)
        return self.evaluation

    def number(self, name: str) -> Number | None:
        """One of the ``numbers`` of ``evaluation``, None for a run that could not be evaluated."""
        return self.evaluation.numbers[name] if self.evaluation else None


@dataclass(frozen=True, kw_only=True)
class ReportSummary:
    """What a report says.

    Attributes:
        shown: the run whose details are shown: the selected one, else the first that was evaluated.
        comparisons: each group's best run by validation against every other group's.
        task: of all runs.
        class_names, support: of a task with classes, else empty.
        targets: names of the columns of a regression, else empty.
    """

    runs: list[RunSummary]
    groups: list[Group]
    selection: Selection
    shown: RunSummary | None
    comparisons: list[Comparison] | list[ErrorComparison]
    examples: int
    class_names: list[str]
    support: list[int] = field(default_factory=list)
    task: str = MULTICLASS
    targets: list[str] = field(default_factory=list)

    @property
    def is_regression(self) -> bool:
        """Tell whether numbers, and not classes, were predicted."""
        return self.task == REGRESSION

    def evaluated(self, group: str | None = None) -> list[RunSummary]:
        """The runs that have numbers, of one group or of all."""
        return [run for run in self.runs if run.evaluation and group in (None, run.group)]


def summarise(inputs: ReportInputs, on_curve: OnCurve, exact_rows: int = EXACT_ROWS) -> ReportSummary:
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
        comparisons=comparisons(best_of_groups(groups, runs, evaluated), test_set.examples),
        examples=test_set.examples,
        class_names=test_set.class_names,
        support=test_set.support,
        task=test_set.task,
        targets=test_set.targets,
    )


def best_of_groups(groups: Sequence[Group], runs: Sequence[RunSummary], evaluated: set[str]) -> list[RunSummary]:
    """Return for every group its best run by validation (the first, where none has a metric)."""
    by_name = {run.name: run for run in runs if run.evaluation}
    result = []
    for group in groups:
        names = [run.name for run in group.runs if run.name in by_name]
        if names:
            result.append(by_name[select([group], evaluated).run or names[0]])
    return result


def comparisons(best: Sequence[RunSummary], examples: int) -> list[Comparison] | list[ErrorComparison]:
    """Compare runs in pairs: by which examples they get right, or by their errors."""
    if any(isinstance(run.evaluation, EvaluatedNumbers) for run in best):
        return compare_errors([(run.name, run.errors.absolute) for run in best])
    hits = [(run.name, np.unpackbits(run.its.correct_bits, count=examples).astype(bool)) for run in best]
    return compare(hits)


class SharedTestSet:
    """The one test set of a report: that of its first run, which all the others must share."""

    def __init__(self) -> None:
        self.first: RunRecord | None = None
        self.fingerprint = ""
        self.examples = 0
        self.class_names: list[str] = []
        self.support: list[int] = []
        self.task = MULTICLASS
        self.targets: list[str] = []

    def check(self, record: RunRecord, predictions: AnyPredictions) -> None:
        """Raise RequestError when ``predictions`` are for other examples, or another task, than those of the first."""
        columns = str(predictions.outputs.shape[1])
        content = predictions.example_id.tobytes() + predictions.y_true.tobytes() + columns.encode()
        fingerprint = hashlib.sha256(content).hexdigest()
        if self.first is None:
            self.first, self.fingerprint, self.examples = record, fingerprint, len(predictions)
            self.task = predictions.task
            self.name_columns(record, predictions)
        elif predictions.task != self.task:
            raise RequestError(
                f"runs: {self.first.name!r} was evaluated as {self.task}, {record.name!r} as {predictions.task}; make "
                "one report for each task (evaluation.task sets it)"
            )
        elif fingerprint != self.fingerprint:
            raise RequestError(
                f"runs: {self.first.name!r} and {record.name!r} were evaluated on different test sets, so their "
                "numbers do not compare; make one report for each test set, and where a function draws it, let it do "
                "so with a seed of its own, as each run has another"
            )

    def name_columns(self, record: RunRecord, predictions: AnyPredictions) -> None:
        """Name what the columns of the outputs are: classes, with how many examples each has, or targets."""
        if not isinstance(predictions, Predictions):
            count = predictions.y_pred.shape[1]
            self.targets = ["target"] if count == 1 else [f"target {k}" for k in range(count)]
            return
        named = (record.result.get("data") or {}).get("class_names") or []
        full = len(named) == predictions.classes
        self.class_names = [str(named[k] if full else k) for k in range(predictions.classes)]
        self.support = np.bincount(predictions.y_true, minlength=predictions.classes).tolist()
