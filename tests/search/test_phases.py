"""Which trials are still to run."""

from __future__ import annotations

import pytest
from trial_records import job, record

from nn_train.search.phases import (
    confirm_points,
    confirmed,
    extend_points,
    open_combinations,
    open_names,
    open_points,
)


def names(points):
    return [point["trial"] for point in points]


ENDED = [record("t00001", 0.5), record("t00003", status="failed"), record("t00000-s1", 0.5, phase="confirm")]


def test_only_trials_that_have_not_ended_are_run_with_their_own_draws():
    draws = [{"x": number} for number in range(5)]
    assert open_points(draws, ENDED) == [{"trial": f"t{i:05d}", "draws": {"x": i}} for i in (0, 2, 4)]
    assert open_names(5, ENDED) == ["t00000", "t00002", "t00004"]
    assert open_points(draws[:2], [record("t00000"), record("t00001")]) == []


def test_a_grid_that_was_widened_runs_what_is_new_in_it():
    grid = [{"x": x, "y": y} for x in (1, 2) for y in (1.5, 2.5, 3.5)]
    smaller = [one for one in grid if one["y"] != 3.5]
    assert open_combinations(grid, []) == open_points(grid, [])
    ended = [record(point["trial"], draws=point["draws"]) for point in open_combinations(smaller, [])]
    assert open_combinations(smaller, ended) == []
    assert open_combinations(smaller, [ended[0], ended[2]]) == open_points(smaller, [ended[0], ended[2]])
    points = open_combinations(grid, ended)
    assert points == [{"trial": "t00004", "draws": grid[2]}, {"trial": "t00005", "draws": grid[5]}]


def test_more_epochs_train_the_best_again_under_a_new_name():
    ended = [record("t0", 0.5), record("t1", 0.9), record("t2", 0.7), record("t3", 0.8, status="failed")]
    points = extend_points(job(epochs=8, keep_best=2), ended)
    assert points == [
        {"trial": "t1-e8", "values": ended[1].values},
        {"trial": "t2-e8", "values": ended[2].values},
    ]
    assert extend_points(job(epochs=4, keep_best=2), ended) == []
    done = [*ended, record("t1-e8", 0.9, phase="extend", epochs=8)]
    assert names(extend_points(job(epochs=8, keep_best=2), done)) == ["t2-e8"]
    assert extend_points(job(epochs=8), [record("t0", 0.9), record("t1", 0.5, epochs=8)]) == []


def test_the_best_are_confirmed_with_seeds_that_the_search_did_not_use():
    ended = [record("t0", 0.5), record("t1", 0.9), record("t2", 0.7), record("t1-e8", 0.95, phase="extend")]
    config = job(seed=10, confirm={"top": 2, "seeds": 2})
    points = confirm_points(config, ended)
    assert names(points) == ["t1-e8-s11", "t1-e8-s12", "t1-s11", "t1-s12"]
    assert [point["values"]["seed"] for point in points] == [11, 12, 11, 12]
    done = [*ended, record("t1-e8-s11", 0.1, phase="confirm"), record("t1-s12", phase="confirm", status="failed")]
    assert names(confirm_points(config, done)) == ["t1-e8-s12", "t1-s11"]
    assert confirm_points(job(), ended) == []


@pytest.mark.parametrize(("mode", "order"), [("max", ["t1", "t0"]), ("min", ["t0", "t1"])])
def test_the_best_mean_over_other_seeds_is_chosen(mode, order):
    ended = [
        record("t0", 0.9),
        record("t1", 0.8),
        record("t2", 0.7),
        *(record(f"t0-s{seed}", value, phase="confirm") for seed, value in ((1, 0.5), (2, 0.8))),
        *(record(f"t1-s{seed}", value, phase="confirm") for seed, value in ((1, 0.7), (2, 0.7))),
        record("t2-s1", 0.99, phase="confirm"),
        record("t2-s2", 0.99, phase="confirm", status="failed"),
    ]
    groups = confirmed(job(mode=mode, confirm={"top": 3, "seeds": 2}), ended)
    assert [group.trial for group, _ in groups] == order, "t2 lacks a seed"
    assert [run.trial for run in groups[0][1]] == [f"{order[0]}-s1", f"{order[0]}-s2"]
    assert confirmed(job(), ended) == []
