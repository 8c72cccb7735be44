"""Time that passes only where somebody sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """In the place of the module ``time``, from 0.

    Attributes:
        pauses: what was slept, in seconds.
        then: moment to what happens then, called by the one who sleeps over it.
    """

    gmtime, strftime = staticmethod(time.gmtime), staticmethod(time.strftime)

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.then: dict[float, Callable[[], object]] = {}

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        for moment in sorted(when for when in self.then if when <= self.now):
            self.then.pop(moment)()
