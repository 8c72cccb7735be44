"""Which trials are still to run: of the space, of the best with more epochs, of the best with other seeds."""

from __future__ import annotations

import json
import statistics
from typing import Any

from nn_train.config import Config
from nn_train.search.journal import FAILED, Record, ranked

PHASES = SEARCH, EXTEND, CONFIRM = "search", "extend", "confirm"


def of_phase(records: list[Record], phase: str) -> list[Record]:
    """The records of one phase."""
    return [record for record in records if record.phase == phase]


def trial_name(index: int) -> str:
    """The name of the trial ``index`` of a space."""
    return f"t{index:05d}"


def still_open(points: list[dict[str, Any]], records: list[Record]) -> list[dict[str, Any]]:
    """Return those that have not ended."""
    ended = {record.trial for record in records}
    return [point for point in points if point["trial"] not in ended]


def open_points(draws: list[dict[str, Any]], records: list[Record]) -> list[dict[str, Any]]:
    """The trials of a known list of draws that have not ended."""
    return still_open([{"trial": trial_name(index), "draws": one} for index, one in enumerate(draws)], records)


def open_combinations(grid: list[dict[str, Any]], records: list[Record]) -> list[dict[str, Any]]:
    """The trials of a grid that have not ended, under whatever number when the grid was a smaller one."""
    ended = {json.dumps(record.draws, sort_keys=True) for record in of_phase(records, SEARCH)}
    left = [one for one in grid if json.dumps(one, sort_keys=True) not in ended]
    names = open_names(len(left) + len(records), records)
    return [{"trial": name, "draws": one} for name, one in zip(names, left, strict=False)]


def open_names(num_trials: int, records: list[Record]) -> list[str]:
    """The names that a drawing algorithm has not used up."""
    ended = {record.trial for record in records}
    return [name for name in map(trial_name, range(num_trials)) if name not in ended]


def target_reached(config: Config, records: list[Record]) -> bool:
    """Whether a trial has the value that ends the search."""
    return any(reaches(record.value(config.search.metric), config) for record in records)


def reaches(value: float | None, config: Config) -> bool:
    """Whether ``value`` is as good as ``search.target``."""
    target = config.search.target
    if target is None or value is None:
        return False
    return value <= target if config.search.lower_is_better else value >= target


def extend_points(config: Config, records: list[Record]) -> list[dict[str, Any]]:
    """``train.epochs`` was raised since the search: the ``search.keep_best`` best trials train that long."""
    search, epochs = config.search, config.train.epochs
    earlier = [record for record in of_phase(records, SEARCH) if record.epochs < epochs]
    if len(earlier) < len(of_phase(records, SEARCH)):  # trials of the space itself have trained that long
        return []
    best = ranked(earlier, search.metric, search.lower_is_better)[: search.keep_best]
    return still_open([{"trial": f"{record.trial}-e{epochs}", "values": record.values} for record in best], records)


def confirm_points(config: Config, records: list[Record]) -> list[dict[str, Any]]:
    """The best trials with seeds that the search did not use, so that luck in the search does not count again."""
    search = config.search
    if search.confirm is None:
        return []
    points = []
    for record in contenders(config, records)[: search.confirm["top"]]:
        for seed in range(config.seed + 1, config.seed + 1 + search.confirm["seeds"]):
            points.append({"trial": f"{record.trial}-s{seed}", "values": {**record.values, "seed": seed}})
    return still_open(points, records)


def contenders(config: Config, records: list[Record]) -> list[Record]:
    """The trials that the best is chosen from before it is confirmed, the best first."""
    search = config.search
    trained = of_phase(records, SEARCH) + of_phase(records, EXTEND)
    return ranked(trained, search.metric, search.lower_is_better)


def confirmed(config: Config, records: list[Record]) -> list[tuple[Record, list[Record]]]:
    """Each confirmed contender with its runs of other seeds, the best mean first; empty without any."""
    search = config.search
    if search.confirm is None:
        return []
    groups = []
    for record in contenders(config, records):
        seeds = [
            run
            for run in of_phase(records, CONFIRM)
            if run.trial.rpartition("-s")[0] == record.trial and run.status != FAILED
        ]
        if len(seeds) >= search.confirm["seeds"]:
            groups.append((record, seeds))
    sign = 1 if search.lower_is_better else -1

    def mean(group: tuple[Record, list[Record]]) -> float:
        return sign * statistics.fmean(run.value(search.metric) or 0 for run in group[1])

    return sorted(groups, key=mean)
