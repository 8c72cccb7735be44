"""Sees from another thread whether a worker's training goes on, and says so when it does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

PATIENT = 10  # time-outs may last what is not TensorFlow's alone: the user's code, storage, and waiting for either
SLOWER = 3  # times as long as expected may steps take, where that is longer than the time-out
IDLE = 0.05  # of a core: less than that use workers that wait for one another; whoever computes or traces uses more
LOOKS = 20  # per time-out


@dataclass(frozen=True, eq=False)
class Watched:
    """Something that should come to an end.

    Attributes:
        limit: seconds it may take.
        may_wait: whether it may be idle for longer than the time-out.
    """

    limit: float
    may_wait: bool


class Watchdog:
    """Calls ``on_hang``, once, when a worker does not get on.

    What waits in a collective of TensorFlow's cannot be interrupted; the process must be replaced. A limit alone would
    not do: the first steps hold tracing and compiling, of which nobody knows how long they take, but not idly.

    Args:
        timeout: seconds, ``run.hang_timeout``.
        on_hang: called from the other thread with the seconds in which nothing has ended.
    """

    def __init__(self, timeout: float, on_hang: Callable[[float], None]) -> None:
        self.timeout, self.on_hang = timeout, on_hang
        self.watched = Watched(0.0, True)
        self.ended: threading.Event | None = None  # of the thread that looks, where there is one

    def other(self) -> None:
        """What was watched has ended. What begins is not TensorFlow's alone, here or on a worker that it waits for."""
        self.begin(PATIENT * self.timeout, may_wait=True)

    def steps(self, expected: float) -> None:
        """What was watched has ended. Steps begin that should take ``expected`` seconds; 0: nothing is known of it."""
        if expected:
            self.begin(max(self.timeout, SLOWER * expected), may_wait=True)
        else:
            self.begin(PATIENT * self.timeout, may_wait=False)

    def begin(self, limit: float, may_wait: bool) -> None:
        self.watched = Watched(limit, may_wait)
        if self.ended is None:
            self.ended = threading.Event()
            threading.Thread(target=self.look, args=(self.ended,), daemon=True, name="watchdog").start()

    def end(self) -> None:
        """What was watched has ended, and nothing follows."""
        if self.ended is not None:
            self.ended.set()
            self.ended = None

    def look(self, ended: threading.Event) -> None:
        """Until ``ended``. What hangs is told before the time-out is over, not at the first look after it."""
        pause, seen = self.timeout / LOOKS, self.watched
        last, used = time.monotonic(), time.process_time()
        taken = idle = 0.0
        while not ended.wait(pause):
            now, cpu = time.monotonic(), time.process_time()
            passed = min(now - last, 2 * pause)  # more, if the process itself was suspended for a while
            watched = self.watched
            taken = taken + passed if watched is seen else passed
            is_idle = watched is seen and not watched.may_wait and cpu - used <= IDLE * (now - last)
            idle = idle + passed if is_idle else 0.0
            last, used, seen = now, cpu, watched
            # It may have become idle right after the look before the last at which it was not.
            hangs = taken + pause > watched.limit or idle > self.timeout - 2 * pause
            if hangs and watched is self.watched and not ended.is_set():
                self.on_hang(taken)
                return
