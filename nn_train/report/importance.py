"""Which searched settings mattered: permutation importance of a random forest fitted to the trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from nn_train.report.inputs.search_results import SearchResult, Trial

LEAST_TRIALS = 8  # below it a forest has nothing to learn from
TRIALS_PER_PARAM = 10
MOST_TRIALS = 2_000  # the forest learns no more from ten thousand, and takes ten times as long
GOOD_FIT = 0.3


@dataclass(frozen=True)
class Importance:
    """How much worse the forest's R² gets when one setting is shuffled: mean and SD over ten shuffles.

    Attributes:
        fit: R² on trials left out of each tree; near or below 0, the importances mean nothing.
        warning: why they should not be relied on, or None.
    """

    scores: dict[str, tuple[float, float]]
    trials: int
    fit: float
    warning: str | None


def importance(search: SearchResult) -> Importance | str:
    """The importances, or why there are none. Only completed trials count: others stopped at other epochs."""
    trials = search.completed
    params = [name for name in search.params if len({trial.params[name] for trial in trials}) > 1]
    if len(trials) < LEAST_TRIALS:
        return f"{len(trials)} completed trials are too few; at least {LEAST_TRIALS} are needed"
    if not params or len({trial.value for trial in trials}) == 1:
        return "the completed trials do not differ"
    if len(trials) > MOST_TRIALS:
        trials = [trials[i] for i in np.linspace(0, len(trials) - 1, MOST_TRIALS).astype(int)]
    x = np.column_stack([encode(trials, name) for name in params])
    y = np.array([trial.score for trial in trials])
    forest = RandomForestRegressor(n_estimators=100, min_samples_leaf=2, oob_score=True, random_state=0).fit(x, y)
    result = permutation_importance(forest, x, y, n_repeats=10, random_state=0)
    scores = zip(params, result.importances_mean.tolist(), result.importances_std.tolist(), strict=True)
    ordered = sorted(scores, key=lambda entry: -entry[1])
    fit = float(forest.oob_score_)
    return Importance(
        {name: (mean, sd) for name, mean, sd in ordered}, len(trials), fit, warn(len(trials), len(params), fit)
    )


def warn(trials: int, params: int, fit: float) -> str | None:
    """Why importances from so few trials, or so poor a fit, mislead."""
    if trials < TRIALS_PER_PARAM * params:
        return f"only {trials} completed trials for {params} settings: the order may be chance"
    if fit < GOOD_FIT:
        return f"the forest explains little of the differences (R² {fit:.2f}): the order may be chance"
    return None


def encode(trials: list[Trial], name: str) -> np.ndarray:
    """A column of numbers: a setting in text becomes its place in the alphabet."""
    values = [trial.params[name] for trial in trials]
    if all(isinstance(value, float) for value in values):
        return np.array(values)
    places = {value: place for place, value in enumerate(sorted({str(value) for value in values}))}
    return np.array([places[str(value)] for value in values], dtype=float)
