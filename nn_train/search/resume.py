"""How a search resumes: what its scheduler is told of the trials of earlier sessions."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from nn_train.config.space import Space, drawn, resolve
from nn_train.search.journal import trial_folder
from nn_train.search.schedulers import inside
from nn_train.search.trial_training import STANDING
from nn_train.storage.folder import ResultsFolder


def replay(scheduler: TrialScheduler, values: list[list[float]]) -> None:
    """Let ASHA and the median rule know trials of an earlier session: what each reached, epoch by epoch."""
    if not isinstance(scheduler, AsyncHyperBandScheduler | MedianStoppingRule):
        return
    for number, reached in enumerate(values):
        trial = Trial("earlier", trial_id=f"earlier{number:05d}", stub=True)
        scheduler.on_trial_add(None, trial)
        for epoch, value in enumerate(reached, start=1):
            result = {"epoch": epoch, "value": value}
            if isinstance(scheduler, AsyncHyperBandScheduler):
                scheduler.on_trial_result(None, trial, result)
            else:
                scheduler.on_trial_complete(None, trial, result)  # which only takes the result down


def population_points(space: Space, folder: ResultsFolder, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the trials of population-based training with the numbers that they had by their last checkpoint."""
    begun = set(folder.folders("trials"))

    def resumed(point: dict[str, Any]) -> dict[str, Any]:
        standing = trial_folder(folder, point["trial"]).read_json(STANDING) if point["trial"] in begun else None
        if standing is None or not belongs(standing, space):
            return point
        return {**point, "draws": standing["draws"]}

    return [resumed(point) for point in points]


def belongs(standing: dict[str, Any], space: Space) -> bool:
    """Whether a trial under way is one of this space, which may have been changed."""
    draws, domains = standing["draws"], drawn(space)
    if draws is None or set(draws) != set(domains) or inside(draws, domains) != draws:
        return False
    chosen = [(draws[name], domain.values) for name, domain in domains.items() if domain.kind in ("choice", "grid")]
    return all(value in values for value, values in chosen) and resolve(space, draws) == standing["values"]
