"""A part of an epoch: where it was interrupted, and what had been counted by then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class PartialEpoch:
    """An epoch of which a part is done.

    Attributes:
        step: steps done.
        loss_sum: of the losses of the examples so far, a Python float (float64).
        metrics: what each replica has counted, float64 [R, M], M numbers in the order of the metrics' variables.
    """

    step: int
    loss_sum: float
    metrics: np.ndarray


class ChunkHooks(Protocol):
    """Where an epoch is interrupted between two steps, on all workers alike."""

    def meet(self) -> None:
        """Called before the first steps of an epoch. Collective."""

    def train(self, reads_stream: bool, first: bool) -> int:
        """How many steps are trained before the next pause. ``first``: of this epoch."""

    def trained(self, steps: int) -> None:
        """Called when they are."""

    def validate(self, reads_stream: bool, first: bool) -> int:
        """How many batches of a validation are looked at before ``validated`` is called. ``first``: of this one."""

    def validated(self, batches: int) -> None:
        """Called when they are."""

    def alive(self) -> None:
        """Called now and then outside of the steps, where something takes long."""

    def pause(self, gather: Callable[[], np.ndarray], step: int, loss_sum: float) -> None:
        """Called where more steps follow, ``step`` being done in this epoch. Collective, and so is ``gather``, which
        gives the ``metrics`` of a ``PartialEpoch``."""


class Listener(Protocol):
    """Is told of single batches and of validations, by the names of Keras' hooks."""

    def moment(self, hook: str, *arguments: object) -> bool:
        """Collective. Whether the training, or the validation, is to stop here."""


class Nobody:
    """No listener."""

    def moment(self, hook: str, *arguments: object) -> bool:
        return False


class NoHooks:
    """No hooks."""

    ALL = 2**31 - 1  # steps: as many as there are

    def meet(self) -> None:
        pass

    def train(self, reads_stream: bool, first: bool) -> int:
        return self.ALL

    def trained(self, steps: int) -> None:
        pass

    def validate(self, reads_stream: bool, first: bool) -> int:
        return self.ALL

    def validated(self, batches: int) -> None:
        pass

    def alive(self) -> None:
        pass

    def pause(self, gather: Callable[[], np.ndarray], step: int, loss_sum: float) -> None:
        pass
