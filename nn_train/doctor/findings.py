"""What a check found, and the table of all findings."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

OK, WARNING, FAILED, NOT_APPLICABLE = "ok", "warning", "failed", "not applicable"
MOST_LINES = 8  # of one check
WIDTH = 120  # letters


@dataclass(frozen=True)
class Finding:
    """The end of one check.

    Attributes:
        check: its name.
        result: one of the constants above.
        found: what is so, a line for each thing.
        advice: what to do about it; empty where nothing is to be done.
    """

    check: str
    result: str
    found: tuple[str, ...]
    advice: str = ""


def judged(check: str, complaints: Sequence[str], otherwise: str, advice: str, result: str = FAILED) -> Finding:
    """``result`` with advice where there are complaints, ok where there are none.

    Args:
        check: its name.
        complaints: a line for each thing that is wrong.
        otherwise: what is so when nothing is.
    """
    if not complaints:
        return Finding(check, OK, (otherwise,))
    more = len(complaints) - MOST_LINES
    shown = [*complaints[:MOST_LINES], *([f"and {more} more"] if more > 0 else [])]
    return Finding(check, result, tuple(shown), advice)


def table(findings: Sequence[Finding]) -> str:
    """Check, result, what was found; below it what to do."""
    first = max(len(one.check) for one in findings)
    second = max(len(one.result) for one in findings)
    lines = [f"{'check':<{first}}  {'result':<{second}}  found, and what to do"]
    for one in findings:
        texts = [*one.found, *([f"→ {one.advice}"] if one.advice else [])]
        wrapped = [line for text in texts for line in textwrap.wrap(text, WIDTH - first - second - 4)]
        for place, line in enumerate(wrapped):
            begins = place == 0
            lines.append(f"{one.check if begins else '':<{first}}  {one.result if begins else '':<{second}}  {line}")
    return "\n".join(lines)
