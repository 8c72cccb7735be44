"""Who proposes trials: lists that grow at their end, ends that are included, what is refused."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from trial_records import job

from nn_train.config import config_from_dict, read_config
from nn_train.config.space import drawn, parse_space
from nn_train.errors import RequestError
from nn_train.search.algorithms import (
    OptunaSearcher,
    check_algorithm,
    listed_draws,
    sampler_of,
    seed_after,
)
from nn_train.search.driver import check_search
from nn_train.search.schedulers import make_scheduler

JOB_FILES = sorted((Path(__file__).parents[2] / "nn_train" / "presets").glob("tune_*.yaml"))
SPACE = {
    "optimizer.learning_rate": {"loguniform": [1e-4, 1e-1]},
    "model.hidden_units": {"quantized": [64, 256, 64]},
    "train.batch_size": {"choice": [32, 64]},
}


def domains(given):
    return drawn(parse_space(given, job()))


def drawn_by(seed=0, given=None, **search):
    return listed_draws(job(**search).search, domains(given or SPACE), seed)


def test_a_longer_random_list_begins_with_the_shorter_one():
    assert drawn_by(num_trials=30)[:10] == drawn_by(num_trials=10)
    assert len({tuple(draws.values()) for draws in drawn_by(num_trials=30)}) == 30


def test_a_grid_is_every_combination_in_one_order():
    given = {"train.batch_size": {"grid": [32, 64]}, "optimizer.name": {"choice": ["adam", "sgd", "rmsprop"]}}
    draws = drawn_by(given=given, algorithm="grid", num_trials=1)
    assert [tuple(one.values()) for one in draws] == [
        (size, name) for size in (32, 64) for name in ("adam", "sgd", "rmsprop")
    ]
    assert draws == drawn_by(seed=5, given=given, algorithm="grid")


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({"integer": [3, 6]}, {3, 4, 5, 6}),
        ({"log_integer": [3, 6]}, {3, 4, 5, 6}),
        ({"quantized": [4, 12, 4]}, {4, 8, 12}),
        ({"choice": [4, 9]}, {4, 9}),
    ],
)
def test_whole_numbers_are_drawn_with_both_ends(spec, values):
    draws = drawn_by(given={"model.hidden_units": spec}, num_trials=100)
    assert {draw["model.hidden_units"] for draw in draws} == values


@pytest.mark.parametrize(
    ("algorithm", "spec", "said"),
    [
        ("grid", {"uniform": [0, 0.5]}, "search.space.model.dropout: uniform has no end of values"),
        ("random", {"grid": [0, 0.5]}, "grid needs --search.algorithm grid; with random take choice"),
    ],
)
def test_a_space_that_an_algorithm_cannot_draw_from_is_refused(algorithm, spec, said):
    with pytest.raises(RequestError, match=said):
        check_algorithm(job(algorithm=algorithm).search, domains({"model.dropout": spec}))


@pytest.mark.parametrize("file", JOB_FILES, ids=lambda file: file.stem)
def test_the_job_files_hold_searches_that_can_begin(file):
    config = read_config(str(file), {})
    space = check_search(config)
    check_algorithm(config.search, drawn(space))
    make_scheduler(config, drawn(space))


@pytest.mark.parametrize(
    ("algorithm", "sampler"),
    [("tpe", "TPESampler"), ("cmaes", "CmaEsSampler"), ("qmc", "QMCSampler"), ("nsgaii", "NSGAIISampler")],
)
@pytest.mark.filterwarnings("ignore")
def test_every_name_is_a_sampler_of_optuna_which_draws_within_the_space(algorithm, sampler):
    search, names = job(algorithm=algorithm).search, list("abcd")
    assert type(sampler_of(search, 0)).__name__ == sampler
    given = domains({"optimizer.learning_rate": {"loguniform": [1e-3, 1e-1]}, "model.dropout": {"uniform": [0.1, 0.4]}})
    searcher = OptunaSearcher(search, given, 0, {}, names)
    points = [searcher.suggest(name)["draws"] for name in names]
    for number, name in enumerate(names):
        searcher.on_trial_complete(name, {"value": number / 10})
    assert len({point["optimizer.learning_rate"] for point in points}) == 4
    assert all(1e-3 <= one["optimizer.learning_rate"] <= 0.1 and 0.1 <= one["model.dropout"] <= 0.4 for one in points)


def test_a_function_that_gives_no_sampler_is_refused():
    with pytest.raises(RequestError, match=r"platform:system"):
        sampler_of(job(algorithm="platform:system").search, 0)


@pytest.mark.filterwarnings("ignore")
def test_draws_are_those_of_earlier_versions_which_a_search_resumes():
    listed = {"optimizer.learning_rate": 0.0001327151712530881, "model.hidden_units": 64, "train.batch_size": 32}
    assert drawn_by(num_trials=2)[1] == listed
    names = [str(index) for index in range(14)]
    searcher = OptunaSearcher(job(algorithm="tpe").search, domains(SPACE), 0, {}, names)
    for index, name in enumerate(names):
        draws = searcher.suggest(name)["draws"]
        searcher.on_trial_complete(name, {"value": index * 0.1, "cause": "why" if index == 5 else ""})
    assert draws == {**listed, "optimizer.learning_rate": pytest.approx(0.00010404055066569016)}


@pytest.mark.filterwarnings("ignore")
def test_optuna_runs_cut_off_trials_first_then_gives_each_name_once():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    given = {"model.dropout": {"uniform": [0, 0.5]}}
    begun = {"t00001": {"model.dropout": 0.125}}
    searcher = OptunaSearcher(job(algorithm="tpe").search, domains(given), 0, begun, ["t00002", "t00003"])
    first, second, third = (searcher.suggest(name) for name in "abc")
    assert first == {"trial": "t00001", "draws": {"model.dropout": 0.125}}
    assert [second["trial"], third["trial"]] == ["t00002", "t00003"]
    assert searcher.suggest("d") == searcher.FINISHED


@pytest.mark.filterwarnings("ignore")
def test_a_session_that_goes_on_draws_other_trials_than_the_first():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    given = {"model.dropout": {"uniform": [0, 0.5]}, "model.args.shape": {"choice": [[8], [8, 4]]}}
    config = config_from_dict({"search": {"algorithm": "tpe"}, "model": {"name": "my:build"}})

    def first_draws(trials):
        searcher = OptunaSearcher(config.search, parse_space(given, config), seed_after(7, trials), {}, ["a", "b"])
        return [searcher.suggest(name)["draws"]["model.dropout"] for name in "ab"]

    drawn = first_draws(0) + first_draws(2) + first_draws(4)
    assert first_draws(0) == drawn[:2]
    assert len(set(drawn)) == 6


@pytest.mark.filterwarnings("ignore")
def test_optuna_learns_what_lies_in_the_space_and_passes_over_the_rest():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searcher = OptunaSearcher(job(algorithm="tpe").search, domains({"model.dropout": {"uniform": [0, 0.5]}}), 0, {}, [])
    searcher.learn({"model.dropout": 0.25}, 0.9)
    searcher.learn({"model.dropout": 0.75}, 0.9)
    searcher.learn({"model.dropout": 0.25, "model.l2": 0.1}, 0.9)
    searcher.learn({"model.dropout": 0.375}, None)
    known = searcher.study.get_trials()
    assert [(trial.params["model.dropout"], trial.state.name) for trial in known] == [
        (0.25, "COMPLETE"),
        (0.375, "FAIL"),
    ]
