"""What the template shows as tables: cells with their text, sort key and the reason of a dash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nn_train.evaluation import Number
from nn_train.report.formats import DASH, decimal, general

NUMERIC = f"0123456789+-<{DASH}"  # what a number, or the sign that there is none, begins with


@dataclass(frozen=True)
class Cell:
    """One table cell.

    Attributes:
        sort: what the column is sorted by; None comes last.
        detail: a second, smaller line.
        reason: why the text is a dash.
    """

    text: str
    sort: float | str | None = None
    detail: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """One table row; ``series`` names the switch that hides it."""

    cells: Sequence[Cell]
    series: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Grid:
    """A table with typed cells; the first column names the row."""

    header: Sequence[str]
    rows: Sequence[Row]

    @property
    def words(self) -> list[bool]:
        """Which columns hold words: they stand on the left, numbers on the right."""
        columns = ([row.cells[column].text for row in self.rows] for column in range(len(self.header)))
        return [any(text and text[0] not in NUMERIC for text in texts) for texts in columns]


def number_cell(number: Number | None, show: Callable[[float], str], detail: str = "", problem: str = "") -> Cell:
    """A number in its format, or a dash with the reason."""
    if number is None or number.value is None:
        return Cell(DASH, None, "", problem if number is None else number.reason or "")
    return Cell(show(number.value), number.value, detail)


def area_cell(number: Number | None, problem: str = "") -> Cell:
    """AUC or AP, with its bounds in small print where it is an approximation."""
    bounds = number.bounds if number else None
    detail = f"[{decimal(bounds[0], 5)}, {decimal(bounds[1], 5)}]" if bounds else ""
    return number_cell(number, lambda value: decimal(value, 5), detail, problem)


def value_cell(value: object) -> Cell:
    """Any setting or result."""
    sortable = value if isinstance(value, int | float) and not isinstance(value, bool) else general(value)
    return Cell(general(value), None if value is None else sortable)
