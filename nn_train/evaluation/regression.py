"""The numbers of a regression: how far predicted numbers are from the targets, in the targets' own units.

Formulas are those of scikit-learn's ``mean_absolute_error``, ``root_mean_squared_error``, ``median_absolute_error`` and
``r2_score``; of several targets the unweighted mean over the columns (``multioutput="uniform_average"``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import median_absolute_error, r2_score, root_mean_squared_error

from nn_train.evaluation.intervals import LEVEL, mean_over_examples
from nn_train.evaluation.numbers import Number, undefined
from nn_train.evaluation.predictions import NumberPredictions, PredictionError

MOST_RESAMPLES, LEAST_RESAMPLES, DRAWS = 1_000, 200, 20_000_000
QUANTILES = 10
UNITS = ("mae", "rmse", "median_absolute_error", "bias")  # numbers in the units of the targets


@dataclass(frozen=True)
class QuantileError:
    """The errors of the examples whose target lies within two deciles of all targets.

    Attributes:
        low, high: the smallest and the largest target among them.
        mae, bias: over them; ``mae.n`` is how many they are.
    """

    low: float
    high: float
    mae: Number
    bias: Number


@dataclass(frozen=True)
class RegressionNumbers:
    """What one run reached on one test set.

    Attributes:
        numbers: by name, of one target its own, of several the mean over them.
        per_target: of each column of the targets.
        quantiles: of each column its errors by decile of the target.
    """

    numbers: dict[str, Number]
    per_target: tuple[dict[str, Number], ...]
    quantiles: tuple[tuple[QuantileError, ...], ...]


def evaluate_numbers(predictions: NumberPredictions) -> RegressionNumbers:
    """Return every number of a run. PredictionError where the predictions have a ``problem``."""
    if predictions.problem:
        raise PredictionError(predictions.problem)
    columns = list(zip(predictions.y_true.T, predictions.y_pred.T.astype(np.float64), strict=True))
    per_target = tuple(target_numbers(y, given) for y, given in columns)
    quantiles = tuple(by_quantile(y, given) for y, given in columns)
    numbers = per_target[0] if len(per_target) == 1 else {name: mean_of(per_target, name) for name in per_target[0]}
    return RegressionNumbers(numbers, per_target, quantiles)


def target_numbers(y: NDArray[np.float64], given: NDArray[np.float64]) -> dict[str, Number]:
    """Return the numbers of one target, ``y`` and ``given`` [N]."""
    errors = given - y
    n = len(y)
    boot = f"bootstrap {LEVEL:.0%} interval (percentile, over examples)"
    return {
        "mae": mean_over_examples(np.abs(errors), "mean of |predicted - target|"),
        "rmse": Number(
            value=float(root_mean_squared_error(y, given)),
            n=n,
            method=f"square root of the mean of (predicted - target)²; {boot}",
            interval=bootstrap((errors**2,), lambda square: np.sqrt(square)),
        ),
        "median_absolute_error": Number(
            value=float(median_absolute_error(y, given)),
            n=n,
            method=f"median of |predicted - target|; {LEVEL:.0%} interval of order statistics, binomial",
            interval=median_interval(np.abs(errors)),
        ),
        "r2": r_squared(y, given, boot),
        "bias": mean_over_examples(errors, "mean of predicted - target"),
    }


def r_squared(y: NDArray[np.float64], given: NDArray[np.float64], boot: str) -> Number:
    """Return 1 - Σ (target - predicted)² / Σ (target - mean target)²; undefined where all targets are equal."""
    method = f"1 - Σ (target - predicted)² / Σ (target - mean target)²; {boot}"
    if len(y) < 2 or np.ptp(y) == 0:
        return undefined(method, len(y), "all test targets are equal, so there is no variance to explain")
    centred = y - y.mean()  # keeps the digits of a variance that is small beside the mean

    def r2(square: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        variance = second - first**2
        return np.where(variance > 0, 1 - square / np.where(variance > 0, variance, 1), np.nan)

    interval = bootstrap(((given - y) ** 2, centred, centred**2), r2)
    return Number(value=float(r2_score(y, given)), n=len(y), method=method, interval=interval)


def bootstrap(
    columns: tuple[NDArray[np.float64], ...], statistic: Callable[..., NDArray[np.float64]]
) -> tuple[float, float] | None:
    """Return the percentile interval of a statistic of means (Efron and Tibshirani, 1993, chapter 13).

    Args:
        columns: [N] each; ``statistic`` is given the means of each over every resample, [resamples].
    """
    if len(columns[0]) < 2:
        return None
    values = statistic(*resampled_means(np.stack(columns, axis=1)).T)
    values = values[np.isfinite(values)]
    edges = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(edges[0]), float(edges[1])


def resampled_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means [resamples, K] of ``values`` [N, K] over examples drawn again, always the same draws."""
    n = len(values)
    rng = np.random.default_rng(0)
    count = int(np.clip(DRAWS // n, LEAST_RESAMPLES, MOST_RESAMPLES))
    return np.stack([values[rng.integers(0, n, n)].mean(axis=0) for _ in range(count)])


def median_interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the order statistics between which the median lies with at least 95 %, free of any distribution (Conover,
    Practical Nonparametric Statistics, 1999, section 3.2); None where there are too few."""
    n = len(values)
    rank = int(stats.binom.ppf((1 - LEVEL) / 2, n, 0.5))  # fewer than so many lie below with at most 2.5 %
    if rank < 1:
        return None
    ordered = np.sort(values)
    return float(ordered[rank - 1]), float(ordered[n - rank])


def by_quantile(y: NDArray[np.float64], given: NDArray[np.float64]) -> tuple[QuantileError, ...]:
    """Return the errors by decile of the target; equal targets stay together."""
    edges = np.unique(np.quantile(y, np.linspace(0, 1, QUANTILES + 1)))
    place = np.clip(np.searchsorted(edges, y, side="right") - 1, 0, max(len(edges) - 2, 0))
    found = []
    for index in np.unique(place):
        here = place == index
        errors = given[here] - y[here]
        mae = mean_over_examples(np.abs(errors), "mean of |predicted - target|")
        bias = mean_over_examples(errors, "mean of predicted - target")
        found.append(QuantileError(float(y[here].min()), float(y[here].max()), mae, bias))
    return tuple(found)


def mean_of(per_target: tuple[dict[str, Number], ...], name: str) -> Number:
    """Return the unweighted mean of a number over the targets; undefined where one of them is."""
    values = [numbers[name].value for numbers in per_target]
    method = f"mean over {len(values)} targets of: {per_target[0][name].method.partition(';')[0]}"
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return undefined(method, len(known), f"undefined for {len(values) - len(known)} of {len(values)} targets")
    return Number(value=float(np.mean(known)), n=len(values), method=method)
