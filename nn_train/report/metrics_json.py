"""``metrics.json``: every number with value, interval, method and n. Layout: docs/report.md.

Holds nothing that depends on how the predictions were made (workers, seconds), so that the same
predictions give the same bytes.
"""

from __future__ import annotations

from typing import Any

from nn_train.evaluation import Number
from nn_train.evaluation.comparison import Comparison, ErrorComparison
from nn_train.evaluation.intervals import LEVEL, mean_over_seeds
from nn_train.report.evaluated import Evaluated, EvaluatedClasses
from nn_train.report.inputs.grouping import SELECTION_METRICS, Group, best_validation
from nn_train.report.summary import ReportSummary, RunSummary

SCHEMA = 1


def metrics(summary: ReportSummary) -> dict[str, Any]:
    """The content of metrics.json."""
    return {
        "schema": SCHEMA,
        "confidence_level": LEVEL,
        "task": summary.task,
        "test_set": {
            "examples": summary.examples,
            **(
                {"targets": summary.targets}
                if summary.is_regression
                else {"class_names": summary.class_names, "support": summary.support}
            ),
        },
        "selection": vars(summary.selection),
        "runs": [run_content(run, summary.class_names or summary.targets) for run in summary.runs],
        "groups": [group_content(summary, group) for group in summary.groups],
        "comparisons": [comparison_content(comparison) for comparison in summary.comparisons],
    }


def run_content(run: RunSummary, names: list[str]) -> dict[str, Any]:
    """One run; one that could not be evaluated has ``problem`` and no numbers."""
    about = {
        "name": run.name,
        "group": run.group,
        "seed": run.record.config.get("seed", run.record.result.get("seed")),
        "status": run.record.result.get("status"),
        "best_epoch": run.record.result.get("best_epoch"),
        "validation": {metric: best_validation(run.record, metric) for metric, _ in SELECTION_METRICS},
        "problem": run.problem,
    }
    return about | (evaluated_content(run.evaluation, run.record.stem, names) if run.evaluation else {})


def evaluated_content(evaluation: Evaluated, stem: str, names: list[str]) -> dict[str, Any]:
    """The numbers of one run; ``names`` of its classes or targets."""
    note = evaluation.note
    common = {
        "predictions": {"file": f"predictions/{stem}.npz", "sha256": note.sha256, "output": note.output},
        "numbers": numbers_content(evaluation.numbers),
    }
    if not isinstance(evaluation, EvaluatedClasses):
        of_targets = zip(names, evaluation.per_target, evaluation.quantiles, strict=True)
        return common | {
            "per_target": [
                {
                    "name": name,
                    "numbers": numbers_content(numbers),
                    "by_quantile": [
                        {**vars(one), "mae": one.mae.to_json(), "bias": one.bias.to_json()} for one in quantiles
                    ],
                }
                for name, numbers, quantiles in of_targets
            ]
        }
    return common | {
        "per_class": [
            {"class": label, "name": names[label], "numbers": numbers_content(numbers)}
            for label, numbers in enumerate(evaluation.per_class)
        ],
        "coverage": [{**vars(point), "accuracy": point.accuracy.to_json()} for point in evaluation.coverage.points],
        "confusion": evaluation.confusion.tolist(),
    }


def numbers_content(numbers: dict[str, Number]) -> dict[str, Any]:
    """Named numbers in their JSON form."""
    return {name: number.to_json() for name, number in numbers.items()}


def group_content(summary: ReportSummary, group: Group) -> dict[str, Any]:
    """Mean and standard deviation over the seeds of every number of the runs."""
    runs = summary.evaluated(group.label)
    numbers = {}
    for name in runs[0].evaluation.numbers if runs and runs[0].evaluation else ():
        mean, sd = mean_over_seeds([number.value for run in runs if (number := run.number(name))])
        numbers[name] = {"mean": mean.to_json(), "sd": sd.to_json()}
    return {
        "label": group.label,
        "runs": [run.name for run in group.runs],
        "evaluated": [run.name for run in runs],
        "settings": group.settings,
        "numbers": numbers,
    }


def comparison_content(comparison: Comparison | ErrorComparison) -> dict[str, Any]:
    """One pair of runs."""
    if isinstance(comparison, ErrorComparison):
        found: dict[str, Any] = {"mae_difference": comparison.difference.to_json()}
    else:
        found = {
            "only_first_correct": comparison.only_first,
            "only_second_correct": comparison.only_second,
        }
    return {
        "first": comparison.first,
        "second": comparison.second,
        **found,
        "p_value": comparison.p_value.to_json(),
        "p_holm": comparison.p_holm.to_json(),
    }
