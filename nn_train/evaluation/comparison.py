"""Whether two models differ on the same test set: exact McNemar, corrected for the number of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from nn_train.evaluation.numbers import Number


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs on the same examples.

    Attributes:
        only_first, only_second: examples that only this run got right.
        p_value: probability of a split at least this uneven if both were equally good.
        p_holm: ``p_value`` corrected for all the pairs compared (Holm, 1979).
    """

    first: str
    second: str
    only_first: int
    only_second: int
    p_value: Number
    p_holm: Number


def compare(correct: Sequence[tuple[str, NDArray[np.bool_]]]) -> list[Comparison]:
    """Every pair of the named runs; ``correct`` bool [N] over the same examples in the same order."""
    splits = []
    for i, (first, a) in enumerate(correct):
        for second, b in correct[i + 1 :]:
            splits.append((first, second, int(np.count_nonzero(a & ~b)), int(np.count_nonzero(b & ~a))))
    p_values = [mcnemar(a_only, b_only) for _, _, a_only, b_only in splits]
    corrected = holm([number.value or 0.0 for number in p_values])
    return [
        Comparison(
            first=first,
            second=second,
            only_first=a_only,
            only_second=b_only,
            p_value=p,
            p_holm=Number(value=q, n=len(splits), method="Holm's correction over all pairs"),
        )
        for (first, second, a_only, b_only), p, q in zip(splits, p_values, corrected, strict=True)
    ]


def mcnemar(only_first: int, only_second: int) -> Number:
    """Exact two-sided McNemar test: a fair coin over the examples where just one of the two is right."""
    n = only_first + only_second
    value = min(1.0, 2 * float(special.bdtr(min(only_first, only_second), n, 0.5)))
    return Number(value=value, n=n, method="exact McNemar, two-sided binomial over the examples that differ")


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down: the k-th smallest of m is multiplied by m - k + 1, kept increasing, at most 1."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values, float)[order] * factors))
    return [float(p) for p in corrected]
