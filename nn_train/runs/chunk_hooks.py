"""Pauses between the steps of an epoch: when a checkpoint is kept (3 % of the time), and that training goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from nn_train.engine.chunks import PartialEpoch
from nn_train.engine.collectives import from_chief
from nn_train.engine.strategy import Replicas
from nn_train.runs.draining import DrainedError
from nn_train.runs.watchdog import Watchdog

CHUNK_SECONDS = 5.0  # from pause to pause: seldom enough to cost nothing, often enough to notice a hang
FIRST_STEPS = 8
GROWTH = 8  # the first chunks hold the tracing, and say little of the pace
SHARE = 0.03  # of the time may go into checkpoints
TOLD_SECONDS = 20.0  # from one word about a long epoch to the next


class Pace:
    """How long steps take, and so how many of them a chunk should hold.

    Attributes:
        seconds: of a step, at least; 0 before any is known. Not of the first chunk, in which the model is traced.
        wanted: steps of the next chunk.
    """

    def __init__(self) -> None:
        self.seconds, self.wanted, self.is_traced = 0.0, FIRST_STEPS, False
        self.began = time.monotonic()

    def begin(self, steps: int) -> float:
        """A chunk begins; the seconds that it should take, or 0."""
        self.began = time.monotonic()
        return steps * self.seconds

    def end(self, steps: int, chunk: int, aim: float) -> None:
        """A chunk has ended, with ``steps`` of ``chunk`` done; the next one should take ``aim`` seconds."""
        seconds = max(time.monotonic() - self.began, 1e-6) / max(steps, 1)
        if steps == chunk:
            self.wanted = min(max(int(aim / seconds), 1), GROWTH * chunk)
            self.seconds = seconds if self.is_traced else 0.0
        elif self.is_traced and steps > 1:  # the last ones of an epoch: they are few, and the very last is short
            self.seconds = max(self.seconds, seconds)
        self.is_traced |= steps > 0


class TimedHooks:
    """Hooks after about ``CHUNK_SECONDS``, or ``every_seconds`` where that is less; the chief's clock decides for all.

    Args:
        every_seconds: between checkpoints; more where they would take more than ``SHARE`` of the time.
        replicas: this process's place.
        save: keeps a checkpoint; called on the chief, with the part of the epoch that is done.
        watch: sees that it goes on.
        asked_to_drain: whether to keep a checkpoint and end; called on the chief.
        tell: called on all workers every ``TOLD_SECONDS`` of an epoch, with its steps so far, the sum of the losses of
            their examples, and the steps a second since it was last called.
    """

    def __init__(
        self,
        every_seconds: float,
        replicas: Replicas,
        save: Callable[[PartialEpoch], None],
        watch: Watchdog,
        asked_to_drain: Callable[[], bool],
        tell: Callable[[int, float, float], None] = lambda step, loss_sum, pace: None,
    ) -> None:
        self.every_seconds, self.replicas, self.save, self.watch = every_seconds, replicas, save, watch
        self.asked_to_drain, self.tell = asked_to_drain, tell
        self.share = from_chief(replicas)
        self.forget()

    def forget(self) -> None:
        """What comes is another training, of whose pace nothing is known."""
        self.chunk, self.batches = FIRST_STEPS, FIRST_STEPS
        self.training, self.validation = Pace(), Pace()
        self.saved, self.cost = time.monotonic(), 0.0  # seconds of a checkpoint
        self.told, self.steps = time.monotonic(), 0  # since then

    def alive(self) -> None:
        """Something goes on that is not steps."""
        self.watch.other()

    def meet(self) -> None:
        """Before the steps of an epoch: whoever still has other things to do is waited for here, with patience."""
        self.share([0.0, 0.0, 0.0])
        self.told, self.steps = time.monotonic(), 0

    def train(self, reads_stream: bool, first: bool) -> int:
        """Steps until the next pause. Begins to watch them."""
        self.watch_steps(self.training.begin(self.chunk), reads_stream, first)
        return self.chunk

    def trained(self, steps: int) -> None:
        """Learn the pace from them."""
        self.watch.other()
        self.steps += steps
        self.training.end(steps, self.chunk, min(CHUNK_SECONDS, self.every_seconds))

    def validate(self, reads_stream: bool, first: bool) -> int:
        """Batches of a validation until ``validated``. Begins to watch them. Other workers may take more or fewer."""
        self.batches = self.validation.wanted
        self.watch_steps(self.validation.begin(self.batches), reads_stream, first)
        return self.batches

    def validated(self, batches: int) -> None:
        """So many batches of a validation have ended; their pace decides how many come next."""
        self.watch.other()
        self.validation.end(batches, self.batches, CHUNK_SECONDS)

    def watch_steps(self, expected: float, reads_stream: bool, first: bool) -> None:
        if reads_stream and (first or not expected):
            self.watch.other()  # the first examples of a pass may come from far away, or fill a shuffle's buffer
        else:
            self.watch.steps(expected)

    def pause(self, gather: Callable[[], np.ndarray], step: int, loss_sum: float) -> None:
        """Agree on the next chunk, say how far it is, keep a checkpoint when it is time, and leave when asked to."""
        now = time.monotonic()
        asked = self.asked_to_drain()
        due = asked or now - self.saved >= max(self.every_seconds, self.cost / SHARE)
        late = now - self.told >= TOLD_SECONDS
        chunk, saves, tells = self.share([float(self.training.wanted), float(due), float(late)])
        self.chunk = int(chunk)
        if tells:
            self.tell(step, loss_sum, self.steps / max(now - self.told, 1e-6))
            self.told, self.steps = now, 0
        if saves:
            partial = PartialEpoch(step=step, loss_sum=loss_sum, metrics=gather())
            if self.replicas.is_chief:
                self.save(partial)
            self.saved = time.monotonic()
            self.cost = self.saved - now
            self.drain_if_asked(asked)

    def drain_if_asked(self, asked: bool | None = None) -> None:
        """Call it where a checkpoint was kept. Collective; DrainedError on every worker when the chief was asked."""
        asked = self.asked_to_drain() if asked is None else asked
        # Nobody leaves before the chief has come here: its file is whole by then.
        if self.share([float(asked), 0.0, 0.0])[0]:
            raise DrainedError
