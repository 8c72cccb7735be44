"""The table of runs, which shows only what differs, and where every run comes from."""

from __future__ import annotations

from typing import Any

from nn_train.evaluation import Number
from nn_train.report.figures.panel import Switch
from nn_train.report.formats import duration, four_digits, percent, percent_interval, whole
from nn_train.report.inputs.grouping import best_validation, differing_fields, settings_of
from nn_train.report.measures import Measure, measures
from nn_train.report.metrics_json import group_content
from nn_train.report.page.parts import Cell, Grid, Row, area_cell, number_cell, value_cell
from nn_train.report.summary import ReportSummary, RunSummary

SHOWN_ELSEWHERE = (
    "name", "seed", "epochs", "best_epoch", "schema", "status", "metrics", "class_names", "num_classes", "arguments"
)  # fmt: skip
FOR_PROGRAMS = ("outputs",)  # of runs of before: by which a model was known again
READ = ("data", "read")  # of a result: said in one line


def runs_grid(summary: ReportSummary) -> Grid:
    """One row a run: its results, which stay in view where the table is wider than the page, then what tells it
    apart."""
    fields = differing_fields([settings_of(run.record) for run in summary.runs])
    validation = "validation loss" if summary.is_regression else "validation accuracy"
    results = [one.title for one in measures(summary)]
    header = ["run", validation, *results, "best epoch", "seed", *short_names(fields)]
    rows = []
    for run in summary.runs:
        settings = settings_of(run.record)
        seed = run.record.config.get("seed", run.record.result.get("seed"))
        cells = [
            Cell(run.name, run.name, run.problem or ""),
            *result_cells(run, summary),
            value_cell(run.record.result.get("best_epoch")),
            value_cell(seed),
            *(value_cell(settings.get(name)) for name in fields),
        ]
        rows.append(Row(cells, run.series, run is summary.shown))
    return Grid(header, rows)


def short_names(fields: list[str]) -> list[str]:
    """``optimizer.learning_rate`` to ``learning_rate``; in full where two sections share a name."""
    last = [field.split(".")[-1] for field in fields]
    short = [field if last.count(name) > 1 else name for field, name in zip(fields, last, strict=True)]
    return ["model" if field == "model.name" else name for field, name in zip(fields, short, strict=True)]


def result_cells(run: RunSummary, summary: ReportSummary) -> list[Cell]:
    """The metric of the validation examples, and the measures of the task."""
    metric, show = ("val_loss", four_digits) if summary.is_regression else ("val_accuracy", percent)
    validation = best_validation(run.record, metric)
    first = Cell(show(validation), validation, reason="" if validation is not None else "not recorded")
    return [first, *(measure_cell(one, run.number(one.name), run.problem or "") for one in measures(summary))]


def measure_cell(measure: Measure, number: Number | None, problem: str = "") -> Cell:
    """A number with its interval, or bounds, in small print."""
    return number_cell(number, measure.show, measure.interval(number), problem)


def groups_grid(summary: ReportSummary) -> Grid:
    """One row a configuration: mean ± SD over its seeds."""
    header = ["configuration", "seeds", *(one.title for one in measures(summary))]
    rows = []
    for index, group in enumerate(summary.groups):
        content = group_content(summary, group)
        cells = [Cell(group.label, group.label), value_cell(len(content["evaluated"]))]
        cells += [spread_cell(content["numbers"].get(one.name), one) for one in measures(summary)]
        rows.append(Row(cells, f"g{index}", group.label == summary.selection.group))
    return Grid(header, rows)


def spread_cell(numbers: dict[str, Any] | None, measure: Measure) -> Cell:
    """Mean with ± SD below."""
    if numbers is None or numbers["mean"]["value"] is None:
        return Cell(
            "–", None, reason="no run of it could be evaluated" if numbers is None else numbers["mean"]["reason"]
        )
    mean, sd = numbers["mean"]["value"], numbers["sd"]["value"]
    return Cell(measure.show(mean), mean, f"± {measure.show(sd)}" if sd is not None else "one seed")


def common_settings(summary: ReportSummary) -> list[tuple[str, Cell]]:
    """The settings that all runs share."""
    settings = [settings_of(run.record) for run in summary.runs]
    differing = set(differing_fields(settings))
    return [(name, value_cell(value)) for name, value in settings[0].items() if name not in differing]


def provenance(summary: ReportSummary) -> tuple[list[tuple[str, Cell]], Grid]:
    """What all runs have in common, and a table of what differs."""
    facts = [facts_of(run) for run in summary.runs]
    differing = differing_fields(facts)
    common = [(name, value_cell(value)) for name, value in facts[0].items() if name not in differing]
    rows = [
        Row([Cell(run.name, run.name), *(value_cell(its.get(name)) for name in differing)])
        for run, its in zip(summary.runs, facts, strict=True)
    ]
    return common, Grid(["run", *differing], rows)


def facts_of(run: RunSummary) -> dict[str, Any]:
    """What is known of how a run came about, by name."""
    facts: dict[str, Any] = {"status": run.record.result.get("status")}
    for name, value in run.record.result.items():
        if isinstance(value, dict) and name not in SHOWN_ELSEWHERE:
            for key, inner in value.items():
                if key in (*SHOWN_ELSEWHERE, *FOR_PROGRAMS):
                    continue
                if (name, key) == READ:
                    facts.update({"data read": reading(inner)} if inner else {})
                    continue
                entries = inner.items() if isinstance(inner, dict) else (("", inner),)
                facts.update({" ".join(part for part in (name, key, last) if part): one for last, one in entries})
        elif name == "command" and isinstance(value, list):
            facts[name] = " ".join(str(word) for word in value)
        elif name == "wall_seconds" and isinstance(value, int | float):
            facts["wall time"] = duration(value)
        elif name not in SHOWN_ELSEWHERE:
            facts[name] = value
    if run.evaluation:
        note = run.evaluation.note
        facts["predicted output"] = note.output.replace("_", "-")
        facts["examples predicted"] = whole(note.rows)
        facts["predicting took"] = duration(note.seconds)
        facts["predictions SHA-256"] = note.sha256
    return facts


def reading(content: dict[str, Any]) -> str:
    """What a run read by rows, and for how long its steps waited for that, in words."""
    count, workers, epochs = content["bytes"], content["workers"], content["epochs"]
    read = "an unknown number of bytes" if count is None else f"{count / 1e6:,.1f} MB"
    waited = f"each waited {content['seconds_waited']:.1f} s for rows"
    return f"{read} by {workers} worker{'s' * (workers > 1)} in {epochs} epoch{'s' * (epochs > 1)}; {waited}"


def class_grid(summary: ReportSummary) -> Grid:
    """Every class of the shown run."""
    header = ("class", "test examples", "precision", "recall", "F1", "ROC AUC", "average precision")
    rows = []
    for label, numbers in enumerate(summary.shown.its.per_class if summary.shown else ()):
        support = summary.support[label]
        cells = [Cell(summary.class_names[label], float(label)), Cell(whole(support), support)]
        for name in ("precision", "recall", "f1"):
            cells.append(number_cell(numbers[name], percent, percent_interval(numbers[name])))
        cells += [area_cell(numbers[name]) for name in ("roc_auc", "average_precision")]
        rows.append(Row(cells, f"c{label}"))
    return Grid(header, rows)


def target_grid(summary: ReportSummary) -> Grid:
    """Every target of the shown run of a regression."""
    of_targets = summary.shown.errors.per_target if summary.shown else ()
    rows = [
        Row([Cell(name, float(at)), *(measure_cell(one, numbers[one.name]) for one in measures(summary))])
        for at, (name, numbers) in enumerate(zip(summary.targets, of_targets, strict=False))
    ]
    return Grid(("target", *(one.title for one in measures(summary))), rows)


def large_errors(summary: ReportSummary) -> Grid:
    """The largest errors of the shown run of a regression."""
    several = len(summary.targets) > 1
    rows = [
        Row(
            [
                Cell(f"example {one.example_id}", one.example_id),
                *([Cell(summary.targets[one.target], one.target)] if several else []),
                *(Cell(four_digits(value), value) for value in (one.true, one.predicted, one.predicted - one.true)),
            ]
        )
        for one in (summary.shown.errors.largest if summary.shown else ())
    ]
    return Grid(("example", *(["target"] if several else []), "true", "predicted", "error"), rows)


def run_switches(summary: ReportSummary) -> list[Switch]:
    """One switch per configuration; single runs are switched in the table of runs."""
    return [Switch(f"g{index}", group.label, index) for index, group in enumerate(summary.groups)]


def class_switches(summary: ReportSummary) -> list[Switch]:
    """One switch per class, and micro."""
    names = [*summary.class_names, "micro"]
    last = len(names) - 1
    return [Switch("micro" if i == last else f"c{i}", name, i) for i, name in enumerate(names)]
