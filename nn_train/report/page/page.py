"""``report.html``: one page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nn_train.report.figures.palette import CSS_VARIABLES, HUES, series_colour
from nn_train.report.figures.panel import Panel
from nn_train.report.figures.svg import for_page
from nn_train.report.formats import decimal, duration, whole
from nn_train.report.importance import Importance
from nn_train.report.inputs.search_results import SearchResult
from nn_train.report.page import mistakes, runs, verdict
from nn_train.report.page.matrix import matrices, top_confusions
from nn_train.report.page.parts import Cell, Grid, Row
from nn_train.report.summary import ReportSummary
from nn_train.report.tables import data_source

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
SECTIONS = (
    ("verdict", "Verdict"),
    ("runs", "Runs"),
    ("learning", "Learning curves"),
    ("confusion", "Confusion matrix"),
    ("classes", "By class"),
    ("curves", "ROC and PR"),
    ("confidence", "Calibration"),
    ("errors", "Errors"),
    ("mistakes", "Mistakes"),
    ("comparison", "Comparison"),
    ("search", "Search"),
    ("cost", "Cost"),
    ("provenance", "Provenance"),
    ("limits", "Limitations"),
)
OF_CLASSES = ("confusion", "classes", "curves", "confidence", "mistakes")
OF_NUMBERS = ("errors",)


def render_page(
    summary: ReportSummary,
    panels: Mapping[str, Sequence[Panel]],
    mistakes: Sequence[mistakes.MistakeCard],
    searches: Sequence[SearchResult],
    importances: Sequence[Importance | str],
) -> str:
    """The text of report.html; ``panels`` by the name that the template has for them, those of a search by its stem."""
    css = (HERE / "report.css").read_text(encoding="utf-8")
    script = (HERE / "report.js").read_text(encoding="utf-8")
    common, provenance = runs.provenance(summary)
    context: dict[str, Any] = {
        **panels,
        "summary": summary,
        "css": Markup(css),
        "script": Markup(script),
        "policy": policy(css, script),
        "title": f"Test report: {summary.shown.name}" if summary.shown else "Test report",
        "subtitle": subtitle(summary),
        "verdict": verdict.verdict(summary),
        "several_groups": len(summary.groups) > 1 and len(summary.groups) < len(summary.runs),
        "groups": runs.groups_grid(summary),
        "runs": runs.runs_grid(summary),
        "common": runs.common_settings(summary),
        "run_switches": runs.run_switches(summary),
        "mistakes": mistakes,
        "comparisons": verdict.comparison_grid(summary),
        "provenance_common": common,
        "provenance": provenance,
        "searches": [search_part(it, its, panels[it.stem]) for it, its in zip(searches, importances, strict=True)],
        "limitations": list(verdict.limitations(summary)),
        **(numbers_context(summary) if summary.is_regression else classes_context(summary)),
    }
    context["sections"] = present(context, summary)
    return environment(autoescape=True).get_template("report.html.j2").render(context)


def environment(*, autoescape: bool) -> Environment:
    """Make what renders the templates; an unknown name in one is an error, not an empty text.

    ``autoescape``: escape everything that is not marked as safe.
    """
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    # The SVG is matplotlib's, which escapes every text it is given.
    made.filters["for_page"] = lambda svg, key: Markup(for_page(svg, f"t-{key}", f"d-{key}"))
    made.filters["stroke"] = lambda style: f"var({CSS_VARIABLES[series_colour(style)]})"
    made.filters["dashed"] = lambda style: style // len(HUES) % 2 == 1
    return made


def policy(css: str, script: str) -> str:
    """A Content-Security-Policy under which only this very style and script work, and nothing is fetched."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def subtitle(summary: ReportSummary) -> str:
    """What was tested on what."""
    runs, groups = len(summary.runs), len(summary.groups)
    sources = sorted({data_source(run.record) for run in summary.runs} - {""})
    parts = [
        f"{runs} run{'s' if runs > 1 else ''} of {groups} configuration{'s' if groups > 1 else ''}",
        ", ".join(sources),
        f"{whole(summary.examples)} test examples",
        of_task(summary),
    ]
    return " · ".join(part for part in parts if part)


def of_task(summary: ReportSummary) -> str:
    """What was predicted."""
    if summary.is_regression:
        return "regression" if len(summary.targets) == 1 else f"regression of {len(summary.targets)} targets"
    return f"{len(summary.class_names)} classes"


def classes_context(summary: ReportSummary) -> dict[str, Any]:
    """What the sections on classes show; numbers of the calibration among it."""
    names = ("brier", "log_loss", "ece_uniform", "ece_quantile")
    numbers = [summary.shown.number(name) if summary.shown else None for name in names]
    return {
        "class_switches": runs.class_switches(summary),
        "classes": runs.class_grid(summary),
        "matrices": matrices(summary),
        "top_confusions": top_confusions(summary),
        **{name: decimal(number.value if number else None) for name, number in zip(names, numbers, strict=True)},
    }


def numbers_context(summary: ReportSummary) -> dict[str, Any]:
    """What the section on the errors of a regression shows."""
    return {"by_target": runs.target_grid(summary), "large_errors": runs.large_errors(summary)}


def search_part(search: SearchResult, importances: Importance | str, panels: Sequence[Panel]) -> dict[str, Any]:
    """Texts, figures and the table of outcomes of one search."""
    words = [
        f"{whole(len(search.trials))} trials, {whole(len(search.completed))} completed",
        f"searched for the {'largest' if search.mode == 'max' else 'smallest'} {search.metric}",
        search.about.get("algorithm"),
        search.about.get("scheduler"),
        duration(search.seconds) if search.seconds is not None else "",
    ]
    counts = Counter((trial.status, trial.cause) for trial in search.trials)
    rows = [
        Row([Cell(status, status), Cell(cause, cause), Cell(whole(count), count)])
        for (status, cause), count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    ]
    return {
        "name": search.name,
        "note": "; ".join(word for word in words if word) + ". All trials are in trials.csv.",
        "warning": importances if isinstance(importances, str) else importances.warning or "",
        "panels": panels,
        "outcomes": Grid(("status", "cause", "trials"), rows),
    }


def present(context: Mapping[str, Any], summary: ReportSummary) -> list[tuple[str, str]]:
    """The sections that the template will show."""
    absent = {name for name in ("learning", "cost") if not context[name]}
    if not context["searches"]:
        absent.add("search")
    if not context["comparisons"].rows:
        absent.add("comparison")
    absent.update(OF_CLASSES if summary.is_regression else OF_NUMBERS)
    if summary.shown is None:
        absent.update((*OF_CLASSES, *OF_NUMBERS))
    return [(key, name) for key, name in SECTIONS if key not in absent]
