"""The order of the examples in an epoch: the same on every worker, from (seed, epoch) alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LISTED = 2**22  # examples; for more than these a list of them would weigh on every worker
ROUNDS = 8
PART = 2**20  # examples of a list that are computed at once
FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)  # odd numbers with bits all over


class Order:
    """A permutation of the numbers 0 … ``size`` - 1.

    Up to ``LISTED`` it is NumPy's, in a list. Beyond, each place is computed when it is asked for: a Feistel network
    permutes the numbers of as many bits as ``size`` needs, and what lies beyond ``size`` is permuted again until it
    does not (cycle walking).

    Args:
        seed, epoch: what it is drawn from.
        size: the number of examples, N.

    Attributes:
        draws: ``(seed, epoch)``.
    """

    def __init__(self, seed: int, epoch: int, size: int) -> None:
        self.size, self.draws, generator = size, (seed, epoch), np.random.default_rng((seed, epoch))
        self.listed = generator.permutation(size).astype(np.int32) if size <= LISTED else None
        self.keys = generator.integers(2**64, size=ROUNDS, dtype=np.uint64) if size > LISTED else None

    def rows(self, first: int, last: int) -> NDArray[np.int64]:
        """The examples in the places from ``first`` to before ``last``, int64 ``[last - first]``."""
        if self.listed is not None:
            return self.listed[first:last].astype(np.int64)
        assert self.keys is not None
        return permuted(np.arange(first, last, dtype=np.uint64), self.size, self.keys).astype(np.int64)

    def all(self) -> NDArray[np.int32]:
        """The whole order as a list, int32 ``[N]``, for examples that are in memory."""
        if self.listed is not None:
            return self.listed
        parts = (self.rows(first, min(first + PART, self.size)) for first in range(0, self.size, PART))
        return np.concatenate([part.astype(np.int32) for part in parts])


def permuted(numbers: NDArray[np.uint64], size: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Where ``numbers`` (uint64, below ``size``) go in the permutation of 0 … ``size`` - 1 that ``keys`` make."""
    found = network(numbers, size, keys)
    while (beyond := found >= size).any():
        found[beyond] = network(found[beyond], size, keys)
    return found


def network(numbers: NDArray[np.uint64], size: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A Feistel network: a permutation of all numbers that have no more bits than ``size`` - 1."""
    bits = max(2, (size - 1).bit_length())
    low = bits // 2
    for key in keys:
        high = bits - low
        left, right = numbers >> np.uint64(low), numbers & np.uint64(2**low - 1)
        mixed = (right + key) * FIRST
        mixed = (mixed ^ (mixed >> np.uint64(29))) * SECOND
        left = left ^ (mixed >> np.uint64(64 - high))
        numbers, low = (right << np.uint64(high)) | left, high
    return numbers
