"""Compare models on the same test set, corrected for the number of pairs: of classes by an exact McNemar test, of
numbers by a bootstrap of their paired errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from nn_train.evaluation.numbers import Number
from nn_train.evaluation.regression import resampled_means


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


@dataclass(frozen=True, kw_only=True)
class ErrorComparison:
    """Two runs of a regression on the same examples.

    Attributes:
        difference: mean absolute error of the first minus that of the second, over all targets.
        p_value: probability of a mean at least this far from 0 if both were equally good.
        p_holm: ``p_value`` corrected for all the pairs compared (Holm, 1979).
    """

    first: str
    second: str
    difference: Number
    p_value: Number
    p_holm: Number


def compare_errors(errors: Sequence[tuple[str, NDArray[np.floating]]]) -> list[ErrorComparison]:
    """Compare every pair of the named runs by their absolute errors [N] over the same examples in the same order."""
    pairs = [(one, other, *paired(a, b)) for i, (one, a) in enumerate(errors) for other, b in errors[i + 1 :]]
    corrected = holm([p.value or 0.0 for *_, p in pairs])
    return [
        ErrorComparison(
            first=first,
            second=second,
            difference=difference,
            p_value=p,
            p_holm=Number(value=q, n=len(pairs), method="Holm's correction over all pairs"),
        )
        for (first, second, difference, p), q in zip(pairs, corrected, strict=True)
    ]


def paired(first: NDArray[np.floating], second: NDArray[np.floating]) -> tuple[Number, Number]:
    """Return the mean difference with its interval, and the two-sided p-value of a bootstrap whose differences are
    moved to a mean of 0 (Efron and Tibshirani, 1993, section 16.4)."""
    differences = first.astype(np.float64) - second
    n, mean = len(differences), float(differences.mean())
    means = resampled_means(differences[:, None])[:, 0]
    edges = np.quantile(means, [0.025, 0.975])
    beyond = int(np.count_nonzero(np.abs(means - mean) >= abs(mean))) if mean else len(means)
    p = (1 + beyond) / (1 + len(means))
    return (
        Number(
            value=mean,
            n=n,
            method="mean of the paired differences of absolute errors; bootstrap 95% interval (percentile)",
            interval=(float(edges[0]), float(edges[1])),
        ),
        Number(value=p, n=n, method=f"paired bootstrap over examples, two-sided, {len(means)} resamples"),
    )


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
