"""Checks, one after another within a deadline, and a row for what came of each. Nothing here knows what they check."""

from __future__ import annotations

import textwrap
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OK, FAILED, NOT_APPLICABLE, NOT_RUN = "ok", "failed", "not applicable", "not run"
NAME, WIDTH = 38, 120  # columns: of the names, and of the table
TRACEBACK_LINES = 20
Measured = Mapping[str, Any]
Check = Callable[[], Measured]


class OutcomeError(Exception):
    """A check did not come to a good end. ``output``: the last lines that its job printed."""

    outcome: str

    def __init__(self, why: str, output: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.output = list(output)


class CheckError(OutcomeError):
    """Something is not as it must be."""

    outcome = FAILED


class NotApplicableError(OutcomeError):
    """This machine cannot be asked that."""

    outcome = NOT_APPLICABLE


class NotRunError(OutcomeError):
    """There was no time for it, or what it builds on is missing."""

    outcome = NOT_RUN


class Deadline:
    """``seconds`` from now, by a clock that gives seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.at = clock() + seconds

    def left(self) -> float:
        """Seconds, at least 0."""
        return max(self.at - self.clock(), 0.0)


@dataclass(frozen=True)
class Row:
    """What came of a check.

    Attributes:
        outcome: ``ok``, ``failed``, ``not applicable`` or ``not run``.
        measured: name to number or text.
        why: of all outcomes but ``ok``, in a line.
        output: where a job failed or was ended, its last lines; of another error, those of the traceback.
    """

    name: str
    outcome: str
    seconds: float
    measured: Measured = field(default_factory=dict)
    why: str = ""
    output: list[str] = field(default_factory=list)

    def line(self) -> str:
        """This row of the table; a long one goes on below."""
        said = self.why or ", ".join(f"{name} {shown(value)}" for name, value in self.measured.items())
        begin = f"{self.name:{NAME}} {self.outcome:14} {self.seconds:6.1f} s  "
        return textwrap.fill(begin + said, WIDTH, subsequent_indent=" " * (NAME + 1), drop_whitespace=True)


def shown(value: object) -> str:
    """A number with four digits, or whole; anything else as it is."""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def rows_of(checks: Iterable[tuple[str, Check]], deadline: Deadline) -> Iterator[Row]:
    """A row for each check when it has ended. One that fails, in whatever way, does not end the others."""
    for name, check in checks:
        began = deadline.clock()
        outcome, measured, why, output = outcome_of(check)
        yield Row(name, outcome, round(deadline.clock() - began, 2), measured, why, output)


def outcome_of(check: Check) -> tuple[str, Measured, str, list[str]]:
    """Outcome, what was measured, why, and the output of one check."""
    try:
        return OK, check(), "", []
    except OutcomeError as error:
        return error.outcome, {}, str(error), error.output
    except Exception as error:  # such as a file that a job should have left
        return FAILED, {}, f"{type(error).__name__}: {error}", traceback.format_exc().splitlines()[-TRACEBACK_LINES:]


def exit_code(rows: Sequence[Row]) -> int:
    """0 where all that this machine can be asked was looked at and is ok, else 1."""
    return 0 if rows and all(row.outcome in (OK, NOT_APPLICABLE) for row in rows) else 1
