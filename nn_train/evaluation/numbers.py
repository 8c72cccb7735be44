"""A reported number: its value, how sure it is, how it was computed and from how many things.

Owns the rule that an undefined number is None with a reason, never NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number of a report.

    Attributes:
        value: the number, or None where it is undefined.
        n: how many things it was computed from (examples, predictions, classes, seeds; see ``method``).
        method: what was computed, in words.
        interval: 95 % interval, where one is defined; ``method`` names it.
        bounds: limits that certainly enclose the exact value, where ``value`` is an approximation.
        reason: why ``value`` is None.

    Raises:
        ValueError: a number is not finite, or an undefined value comes without a reason.
    """

    value: float | None
    n: int
    method: str
    interval: tuple[float, float] | None = None
    bounds: tuple[float, float] | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) != (self.reason is not None):
            raise ValueError(f"{self.method}: a value or a reason is needed, got {self.value!r} and {self.reason!r}")
        floats = [x for x in (self.value, *(self.interval or ()), *(self.bounds or ())) if x is not None]
        if not all(math.isfinite(x) for x in floats):
            raise ValueError(f"{self.method}: not finite: {floats}")

    def to_json(self) -> dict[str, Any]:
        """The keys of metrics.json; ``bounds`` and ``reason`` only where they say something."""
        content: dict[str, Any] = {
            "value": self.value,
            "interval": list(self.interval) if self.interval else None,
            "method": self.method,
            "n": self.n,
        }
        if self.bounds:
            content["bounds"] = list(self.bounds)
        if self.reason:
            content["reason"] = self.reason
        return content


def undefined(method: str, n: int, reason: str) -> Number:
    """A number that cannot be given, and why."""
    return Number(value=None, n=n, method=method, reason=reason)
