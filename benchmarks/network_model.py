"""What exchanging the gradients costs a step, as a formula with two fitted terms; docs/scaling.md explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Point:
    """One measurement on two workers.

    Attributes:
        step, compute: seconds of a step, and of its computing alone.
        bytes: of the gradients.
        bandwidth: of the link, bytes a second in each direction.
        one_way: seconds that a small message takes.
    """

    step: float
    compute: float
    bytes: int
    bandwidth: float
    one_way: float


@dataclass(frozen=True)
class Terms:
    """What TensorFlow adds to the network.

    Attributes:
        per_message: seconds, whatever the size.
        per_byte: seconds of copying and packing.
    """

    per_message: float
    per_byte: float


def messages(workers: int) -> int:
    """How many follow each other in a step: two workers exchange, more pass sums round a ring and back."""
    return 1 if workers == 2 else 2 * (workers - 1)


def bytes_sent(workers: int) -> float:
    """By each worker, as a multiple of the gradients' bytes."""
    return 2 * (workers - 1) / workers


def exchange_seconds(terms: Terms, workers: int, size: float, bandwidth: float, one_way: float) -> float:
    """What a step takes longer than its computing.

    Args:
        size: bytes of the gradients.
        bandwidth, one_way: as of ``Point``.
    """
    fixed = messages(workers) * (terms.per_message + one_way)
    return fixed + bytes_sent(workers) * size * (terms.per_byte + 1 / bandwidth)


def fit(points: Sequence[Point]) -> Terms:
    """The terms, not negative, with the least squares of the relative errors of the step."""
    known = [exchange_seconds(Terms(0, 0), 2, one.bytes, one.bandwidth, one.one_way) for one in points]
    rows = np.array([[messages(2), bytes_sent(2) * one.bytes] for one in points])
    missing = np.array([one.step - one.compute - seconds for one, seconds in zip(points, known, strict=True)])
    weights = 1 / np.array([one.step for one in points])
    scale = np.array([1.0, 1e-9])  # of nearly the same size, for the solver
    solution, _ = nnls(rows * scale * weights[:, None], missing * weights)
    return Terms(*(float(value) for value in solution * scale))


def predicted(terms: Terms, point: Point) -> float:
    """Seconds of the step on two workers."""
    return point.compute + exchange_seconds(terms, 2, point.bytes, point.bandwidth, point.one_way)


def largest_gradients(
    terms: Terms, workers: int, compute: float, bandwidth: float, one_way: float, efficiency: float
) -> float:
    """The bytes that can be exchanged while computing takes the share ``efficiency`` of a step; 0 where none can."""
    allowed = compute * (1 / efficiency - 1)
    fixed = exchange_seconds(terms, workers, 0, bandwidth, one_way)
    return max(0.0, allowed - fixed) / (bytes_sent(workers) * (terms.per_byte + 1 / bandwidth))
