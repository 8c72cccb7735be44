"""What exchanging the gradients costs a step, as a formula with two fitted terms; docs/scaling.md explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

LARGEST_EXCHANGE = 2**20  # bytes; that of nn_train.engine.collectives, which needs TensorFlow


@dataclass(frozen=True)
class Network:
    """What joins the workers.

    Attributes:
        workers: how many, at least 2.
        bandwidth: bytes a second that each can send and receive at once.
        one_way: seconds that a small message takes.
    """

    workers: int
    bandwidth: float
    one_way: float

    def messages(self, size: float) -> int:
        """How many follow each other in a step: two workers exchange what is small, others use a ring."""
        return 1 if self.workers == 2 and size <= LARGEST_EXCHANGE else 2 * (self.workers - 1)

    @property
    def sent(self) -> float:
        """What each worker sends, as a multiple of the gradients' bytes."""
        return 2 * (self.workers - 1) / self.workers


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        network: where.
        step, compute: seconds of a step, and of its computing alone.
        bytes: of the gradients.
    """

    network: Network
    step: float
    compute: float
    bytes: int


@dataclass(frozen=True)
class Terms:
    """What TensorFlow adds to the network.

    Attributes:
        per_message: seconds, whatever the size.
        per_byte: seconds of copying and packing.
    """

    per_message: float
    per_byte: float


def exchange_seconds(terms: Terms, network: Network, size: float) -> float:
    """What a step takes longer than its computing, with gradients of ``size`` bytes."""
    fixed = network.messages(size) * (terms.per_message + network.one_way)
    return fixed + network.sent * size * (terms.per_byte + 1 / network.bandwidth)


def fit(points: Sequence[Point]) -> Terms:
    """The terms, not negative, with the least squares of the relative errors of the step."""
    known = [exchange_seconds(Terms(0, 0), one.network, one.bytes) for one in points]
    rows = np.array([[one.network.messages(one.bytes), one.network.sent * one.bytes] for one in points])
    missing = np.array([one.step - one.compute - seconds for one, seconds in zip(points, known, strict=True)])
    weights = 1 / np.array([one.step for one in points])
    scale = np.array([1.0, 1e-9])  # of nearly the same size, for the solver
    solution, _ = nnls(rows * scale * weights[:, None], missing * weights)
    return Terms(*(float(value) for value in solution * scale))


def predicted(terms: Terms, point: Point) -> float:
    """Seconds of the step."""
    return point.compute + exchange_seconds(terms, point.network, point.bytes)


def largest_gradients(terms: Terms, network: Network, compute: float, efficiency: float) -> float:
    """The bytes that can be exchanged while computing takes the share ``efficiency`` of a step; 0 where none can."""
    allowed = compute * (1 / efficiency - 1)
    per_byte = network.sent * (terms.per_byte + 1 / network.bandwidth)

    def fitting(messages: int) -> float:
        return max(0.0, allowed - messages * (terms.per_message + network.one_way)) / per_byte

    by_ring = fitting(2 * (network.workers - 1))
    return max(by_ring, min(fitting(1), LARGEST_EXCHANGE)) if network.workers == 2 else by_ring
