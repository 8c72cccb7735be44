"""Numbers with their 95 % interval: proportions, means over examples, means over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from nn_train.evaluation.numbers import Number, undefined

LEVEL = 0.95
Z = float(special.ndtri(0.5 + LEVEL / 2))


def proportion(successes: int, n: int, what: str, *, empty: str) -> Number:
    """``successes / n`` with Wilson's score interval (Wilson, 1927), without continuity correction.

    Args:
        what: what is counted, for ``Number.method``.
        empty: the reason given when ``n`` is 0.
    """
    method = f"{what}; Wilson {LEVEL:.0%} interval"
    if n == 0:
        return undefined(method, 0, empty)
    return Number(value=successes / n, n=int(n), method=method, interval=wilson(int(successes), int(n)))


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's score interval for ``successes`` of ``n`` > 0.

    Same as ``scipy.stats.binomtest(...).proportion_ci(method="wilson")``, which took 1.5 ms a call (it first
    searches for a p-value that nobody asked for) and a third of the time of a report of 100 runs.
    """
    share, scale = successes / n, 1 + Z**2 / n
    centre = (share + Z**2 / (2 * n)) / scale
    half = Z / scale * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    # Rounding must not leave an interval that misses 0 or 1 by 1e-17.
    return (0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half)


def mean_over_examples(values: NDArray[np.float64], what: str) -> Number:
    """The mean with its normal interval, mean ± z · SD / sqrt(n); no interval for a single example."""
    method = f"{what}; normal {LEVEL:.0%} interval of the mean"
    mean = float(np.mean(values))
    if len(values) < 2:
        return Number(value=mean, n=len(values), method=method)
    half = Z * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return Number(value=mean, n=len(values), method=method, interval=(mean - half, mean + half))


def mean_over_seeds(values: Sequence[float | None]) -> tuple[Number, Number]:
    """Mean and standard deviation (n - 1) over runs that differ in their seed only.

    Seeds are repetitions of the training, not more test examples: their results are averaged, their
    examples never put together.
    """
    known = [value for value in values if value is not None]
    mean_method, sd_method = "mean over seeds", "standard deviation over seeds (n - 1)"
    if len(known) < len(values) or not known:
        reason = f"undefined for {len(values) - len(known)} of {len(values)} runs"
        return undefined(mean_method, len(known), reason), undefined(sd_method, len(known), reason)
    mean = Number(value=float(np.mean(known)), n=len(known), method=mean_method)
    if len(known) == 1:
        return mean, undefined(sd_method, 1, "one seed has no spread")
    return mean, Number(value=float(np.std(known, ddof=1)), n=len(known), method=sd_method)
