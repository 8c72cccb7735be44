"""Numbers as people read them. Full precision is in the files; the page rounds."""

from __future__ import annotations

import math

from nn_train.evaluation import Number

DASH = "–"
NBSP = "\u00a0"  # keeps a number and its unit on one line


def percent(value: float | None, digits: int = 2) -> str:
    """0.9753 to ``97.53 %``."""
    return DASH if value is None else f"{100 * value:.{digits}f}{NBSP}%"


def percent_interval(number: Number | None, digits: int = 2) -> str:
    """``97.21–97.82 %``, empty without an interval."""
    if number is None or number.interval is None:
        return ""
    low, high = number.interval
    return f"{100 * low:.{digits}f}–{100 * high:.{digits}f}{NBSP}%"


def decimal(value: float | None, digits: int = 4) -> str:
    """A number of the size of 1, as ``0.0873``."""
    return DASH if value is None else f"{value:.{digits}f}"


def four_digits(value: float | None) -> str:
    """A number of any size with four significant digits."""
    return DASH if value is None else f"{value:,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def interval_of(number: Number | None) -> str:
    """``41.2 to 52.9``, empty without an interval."""
    if number is None or number.interval is None:
        return ""
    low, high = number.interval
    return f"{four_digits(low)}{NBSP}to{NBSP}{four_digits(high)}"


def area(number: Number | None) -> str:
    """AUC or AP to five digits, with its bounds where it is an approximation."""
    if number is None or number.value is None:
        return DASH
    bounds = f" [{number.bounds[0]:.5f}, {number.bounds[1]:.5f}]" if number.bounds else ""
    return f"{number.value:.5f}{bounds}"


def p_value(value: float | None) -> str:
    """A probability of a test."""
    if value is None:
        return DASH
    return f"<{NBSP}0.0001" if value < 1e-4 else f"{value:.4f}"


def general(value: object) -> str:
    """Any setting or result: at most four significant digits for a float, ``–`` for None."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else DASH
    if isinstance(value, list | tuple):
        return ", ".join(general(one) for one in value)
    return str(value)


def whole(value: float | None) -> str:
    """12345 to ``12,345``."""
    return DASH if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """``48 s``, ``12 min 5 s``, ``3 h 2 min``."""
    if seconds is None:
        return DASH
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
