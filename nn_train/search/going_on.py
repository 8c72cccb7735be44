"""How a search goes on with the trials that an earlier session has left: what its scheduler is told of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from nn_train.config import Config
from nn_train.config.space import Space, drawn, resolve
from nn_train.search.algorithms import is_listed
from nn_train.search.hyperband import Earlier, HyperBand
from nn_train.search.hyperband import replay as replay_brackets
from nn_train.search.journal import Record, trial_folder
from nn_train.search.phases import SEARCH, of_phase
from nn_train.search.schedulers import Population, inside, replay
from nn_train.search.trial_training import STANDING
from nn_train.storage.folder import ResultsFolder

REQUEST = "request.json"  # of the search: what the trials were to be, and how many had ended before
RUNG = "rung.json"  # of a trial that HyperBand compares: its epochs until its last rung


@dataclass(frozen=True)
class Left:
    """What earlier sessions have left of a phase.

    Attributes:
        points: the trials to run, with the numbers that they have by now.
        stopped: those that the scheduler stops before they run again, with their rows.
    """

    points: list[Any]
    stopped: list[tuple[dict[str, Any], list[dict[str, Any]]]]


def go_on(
    scheduler: TrialScheduler,
    config: Config,
    space: Space,
    folder: ResultsFolder,
    records: list[Record],
    points: list[Any],
) -> Left:
    """Tell a new scheduler of the trials that ended, and of those among ``points`` that were cut off."""
    known = of_phase(records, SEARCH)
    since = ended_before(config, folder, len(known))
    left = Left(points, [])
    if isinstance(scheduler, HyperBand):
        if is_listed(config.search) and config.search.max_concurrent is None:
            left = brackets_of(scheduler, config, folder, known[since:], points)
        scheduler.at_rung = lambda trial, result: keep_rung(folder, trial, result)  # no longer of what is told again
    elif isinstance(scheduler, Population) and is_listed(config.search):  # else the draws of each are kept beside it
        left = Left(population_of(scheduler, config, space, folder, points), [])
    elif not isinstance(scheduler, Population):
        replay(scheduler, [one.values_by_epoch(config.search.metric) for one in known])
    return left


def ended_before(config: Config, folder: ResultsFolder, ended: int) -> int:
    """How many trials of the space had ended when the search was first given as it is now."""
    search = config.search
    names = ("scheduler", "algorithm", "num_trials", "max_concurrent", "reduction_factor", "space")
    request = {name: getattr(search, name) for name in names} | {"epochs": config.train.epochs}
    request = json.loads(json.dumps(request))
    earlier = folder.read_json(REQUEST)
    if earlier is not None and earlier["request"] == request:
        return int(earlier["ended_before"])
    folder.write_json(REQUEST, {"request": request, "ended_before": ended})
    return ended


def keep_rung(folder: ResultsFolder, trial: Trial, result: dict[str, Any]) -> None:
    """What a trial has reached, for a session after this one."""
    content = {"draws": trial.config["draws"], "rows": result["rows"]}
    trial_folder(folder, trial.config["trial"]).write_json(RUNG, content)


def brackets_of(
    scheduler: HyperBand, config: Config, folder: ResultsFolder, ended: list[Record], points: list[dict[str, Any]]
) -> Left:
    """HyperBand's brackets as they were: in each the same trials, ended, waiting or running."""
    metric = config.search.metric
    begun = set(folder.folders("trials"))

    def of(point: dict[str, Any]) -> Earlier:
        rung = trial_folder(folder, point["trial"]).read_json(RUNG) if point["trial"] in begun else None
        rows = rung["rows"] if rung is not None and rung["draws"] == point["draws"] else []
        return Earlier(point, values_of(rows, metric), rows)

    earlier = [
        Earlier({"trial": one.trial, "draws": one.draws}, one.values_by_epoch(metric), one.rows, one.status)
        for one in ended
    ]
    earlier = sorted([*earlier, *map(of, points)], key=lambda one: one.point["trial"])
    stopped = replay_brackets(scheduler, earlier)
    names = {one.point["trial"] for one in stopped}
    waiting = scheduler.waiting()
    left = [point for point in points if point["trial"] not in names]
    # Those that wait come first: Tune has them before the bracket's last one is at its rung.
    left.sort(key=lambda point: point["trial"] not in waiting)
    return Left(left, [(one.point, one.rows) for one in stopped])


def population_of(
    scheduler: Population, config: Config, space: Space, folder: ResultsFolder, points: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The trials with the numbers that they had by their last checkpoint."""
    begun = set(folder.folders("trials"))

    def of(point: dict[str, Any]) -> dict[str, Any]:
        standing = trial_folder(folder, point["trial"]).read_json(STANDING) if point["trial"] in begun else None
        if standing is None or not belongs(standing, space):
            return point
        scheduler.reached[point["trial"]] = values_of(standing["rows"], config.search.metric)
        return {**point, "draws": standing["draws"]}

    return [of(point) for point in points]


def belongs(standing: dict[str, Any], space: Space) -> bool:
    """Whether a trial under way is one of this space, which may have been changed."""
    draws, domains = standing["draws"], drawn(space)
    if draws is None or set(draws) != set(domains) or inside(draws, domains) != draws:
        return False
    chosen = [(draws[name], domain.values) for name, domain in domains.items() if domain.kind in ("choice", "grid")]
    return all(value in values for value, values in chosen) and resolve(space, draws) == standing["values"]


def values_of(rows: list[dict[str, Any]], metric: str) -> list[float]:
    """The metric at the best epoch so far, after each epoch of a trial that has not ended."""
    return Record(trial="", phase=SEARCH, status="", rows=rows).values_by_epoch(metric)
