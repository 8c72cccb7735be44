"""``README.md``: a model card whose ``model-index`` Hugging Face and others read."""

from __future__ import annotations

import html
import re
from typing import Any

import yaml

from nn_train.report.measures import measures
from nn_train.report.page import runs
from nn_train.report.page.page import environment
from nn_train.report.page.verdict import limitations, verdict
from nn_train.report.summary import ReportSummary
from nn_train.report.tables import data_source


def model_card(summary: ReportSummary) -> str:
    """The text of README.md."""
    made = environment(autoescape=False)
    made.filters["md"] = escape_markdown
    measure = measures(summary)[0]
    made.filters["value_of"] = lambda number: measure.show(number.value if number else None)
    made.filters["interval_of"] = measure.interval
    common, _ = runs.provenance(summary)
    name = summary.shown.name if summary.shown else "runs"
    return made.get_template("README.md.j2").render(
        front_matter=yaml.safe_dump(front_matter(summary), sort_keys=False, allow_unicode=True),
        title=name,
        measure=measure,
        verdict=verdict(summary),
        summary=summary,
        facts=[(key, cell.text) for key, cell in (*runs.common_settings(summary), *common)],
        limitations=list(limitations(summary)),
    )


def front_matter(summary: ReportSummary) -> dict[str, Any]:
    """Metadata of the card; ``model-index`` has the shown run's numbers, without those that are undefined."""
    task = "tabular-regression" if summary.is_regression else "image-classification"
    content: dict[str, Any] = {"library_name": "keras", "tags": [task, "keras", "ray"]}
    shown = summary.shown
    if shown is None:
        return content
    source = data_source(shown.record) or "unknown"
    values = [(one.kind, one.card, shown.number(one.name)) for one in measures(summary) if one.card]
    result = {
        "task": {"type": task},
        "dataset": {"name": source, "type": source, "split": "test"},
        "metrics": [
            {"type": kind, "name": title, "value": number.value}
            for kind, title, number in values
            if number is not None and number.value is not None
        ],
    }
    return {**content, "model-index": [{"name": shown.name, "results": [result]}]}


def escape_markdown(text: object) -> str:
    """Text that shows as it is: no markup, no HTML, no new table cell, no new line."""
    one_line = " ".join(str(text).split())
    return re.sub(r"([\\`*_{}\[\]()#|~!])", r"\\\1", html.escape(one_line, quote=False))
