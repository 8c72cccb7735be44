"""Pauses between the steps of an epoch: for checkpoints, and to see that training goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from nn_train.loop import Loop
from nn_train.partial import Partial
from nn_train.replication import Replicas, from_chief
from nn_train.training.leaving import LeavingError

CHUNK_SECONDS = 5.0  # from pause to pause: seldom enough to cost nothing, often enough to notice a hang
FIRST_STEPS = 8
GROWTH = 8  # the first chunks hold the tracing, and say little of the pace
SHARE = 0.03  # of the time may go into checkpoints
PATIENT = (
    10  # time-outs may all else take: the first chunk, in which a model is traced, validation, the user's callbacks
)
SLOWER = 3  # times as long as expected may a chunk take, where that is longer than the time-out


class TimedPauses:
    """Pauses after about ``CHUNK_SECONDS``, or ``every_seconds`` where that is less; the chief's clock decides for all.

    Args:
        every_seconds: between checkpoints; more where they would take more than ``SHARE`` of the time.
        replicas: this process's place.
        save: keeps a checkpoint; called on the chief, with the part of the epoch that is done.
        watch: made with ``Watchdog``.
        asked_to_leave: whether to keep a checkpoint and end; called on the chief.
    """

    def __init__(
        self,
        every_seconds: float,
        replicas: Replicas,
        save: Callable[[Partial], None],
        watch: Watchdog,
        asked_to_leave: Callable[[], bool],
    ) -> None:
        self.every_seconds, self.replicas, self.save, self.watch = every_seconds, replicas, save, watch
        self.asked_to_leave = asked_to_leave
        self.share = from_chief(replicas)
        self.forget()

    def forget(self) -> None:
        """What comes is another training, of whose pace nothing is known."""
        self.chunk = self.wanted = FIRST_STEPS
        self.began = self.saved = time.monotonic()
        self.cost, self.pace = 0.0, 0.0  # seconds of a checkpoint, and of a step

    def steps(self) -> int:
        """Steps until the next pause. Begins to watch them."""
        self.began = time.monotonic()
        self.watch.begin(self.chunk * self.pace)
        return self.chunk

    def trained(self, steps: int) -> None:
        """Learn the pace from them. None are left where a stream ends with the chunk before."""
        self.watch.begin()  # of what follows, until there are steps again
        if not steps:
            return
        self.pace = max(time.monotonic() - self.began, 1e-6) / steps
        self.wanted = min(max(int(min(CHUNK_SECONDS, self.every_seconds) / self.pace), 1), GROWTH * self.chunk)

    def alive(self) -> None:
        """Something goes on that is not steps."""
        self.watch.begin()

    def pause(self, loop: Loop, step: int, loss_sum: float) -> None:
        """Agree on the next chunk, keep a checkpoint when it is time, and leave when asked to."""
        now = time.monotonic()
        asked = self.asked_to_leave()
        due = asked or now - self.saved >= max(self.every_seconds, self.cost / SHARE)
        chunk, saves = self.share([float(self.wanted), float(due)])
        self.chunk = int(chunk)
        if saves:
            partial = Partial(step=step, loss_sum=loss_sum, metrics=loop.counts.gather())
            if self.replicas.is_chief:
                self.save(partial)
            self.saved = time.monotonic()
            self.cost = self.saved - now
            self.leave_if_asked(asked)

    def leave_if_asked(self, asked: bool | None = None) -> None:
        """Call it where a checkpoint was kept. Collective; LeavingError on every worker when the chief was asked."""
        asked = self.asked_to_leave() if asked is None else asked
        # Nobody leaves before the chief has come here: its file is whole by then.
        if self.share([float(asked), 0.0])[0]:
            raise LeavingError


class Watchdog:
    """Calls ``on_hang`` from another thread when a worker takes far longer than expected to get on.

    What waits in a collective of TensorFlow's cannot be interrupted; the process must be replaced.

    Args:
        timeout: seconds.
        on_hang: called with the seconds that have passed.
    """

    def __init__(self, timeout: float, on_hang: Callable[[float], None]) -> None:
        self.timeout, self.on_hang = timeout, on_hang
        self.timer: threading.Timer | None = None

    def begin(self, expected: float = 0.0) -> None:
        """What was watched has ended. What begins should take ``expected`` seconds; 0: nothing is known of it."""
        self.end()
        seconds = max(self.timeout, SLOWER * expected) if expected else PATIENT * self.timeout
        self.timer = threading.Timer(seconds, self.on_hang, args=(seconds,))
        self.timer.daemon = True
        self.timer.start()

    def end(self) -> None:
        """What was watched has ended, and nothing follows."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
