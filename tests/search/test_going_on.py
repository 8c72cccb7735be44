"""What a search that goes on takes over of the session before: brackets, populations, and what changed since."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial
from trial_records import job, record, rows

from nn_train.config.space import drawn, parse_space
from nn_train.search.going_on import RUNG, go_on
from nn_train.search.journal import STOPPED, trial_folder
from nn_train.search.schedulers import make_scheduler
from nn_train.search.trial_training import STANDING
from nn_train.storage.folder import ResultsFolder

RATE = "optimizer.learning_rate"
POINTS = [{"trial": f"t{index:05d}", "draws": {RATE: 0.01 * (index + 1)}} for index in range(4)]
# Brackets of epochs 4, with a factor of 2: three trials without a cut, then three with one after epoch 2.
HYPERBAND = {"scheduler": "hyperband", "reduction_factor": 2, "mode": "max"}


def resume(folder, records=(), points=POINTS, **search):
    """What ``go_on`` gives, and the scheduler that was told."""
    config = job(folder, **search)
    space = parse_space(config.search.space, config)
    scheduler = make_scheduler(config, drawn(space))
    return go_on(scheduler, config, space, ResultsFolder(str(folder)), list(records), points), scheduler


def keep_rung(folder, point, *values):
    content = {"draws": point["draws"], "rows": rows(*values)}
    trial_folder(ResultsFolder(str(folder)), point["trial"]).write_json(RUNG, content)


def names(points):
    return [point["trial"] for point in points]


SIX = [{"trial": f"t{index:05d}", "draws": {RATE: 0.01 * (index + 1)}} for index in range(6)]


def test_trials_that_wait_come_first_and_those_that_a_cut_has_stopped_do_not_run_again(tmp_path):
    resume(tmp_path, points=SIX, **HYPERBAND)
    keep_rung(tmp_path, SIX[5], 0.5, 0.6)
    left, _ = resume(tmp_path, points=SIX, **HYPERBAND)
    assert names(left.points) == ["t00005", "t00000", "t00001", "t00002", "t00003", "t00004"]
    assert left.stopped == []
    for point, reached in zip(SIX[3:], (0.7, 0.5, 0.6), strict=True):
        keep_rung(tmp_path, point, 0.1, reached)
    left, _ = resume(tmp_path, points=SIX, **HYPERBAND)
    assert names(left.points) == ["t00000", "t00001", "t00002", "t00003", "t00005"]
    assert left.stopped == [(SIX[4], rows(0.1, 0.5))]


def test_a_trial_that_ended_counts_in_its_bracket(tmp_path):
    resume(tmp_path, points=SIX, **HYPERBAND)
    ended = record("t00004", 0.1, 0.5, status=STOPPED, draws=SIX[4]["draws"])
    keep_rung(tmp_path, SIX[3], 0.1, 0.7)
    keep_rung(tmp_path, SIX[5], 0.1, 0.6)
    points = [point for point in SIX if point["trial"] != "t00004"]
    left, scheduler = resume(tmp_path, [ended], points, **HYPERBAND)
    assert names(left.points) == names(points)
    assert left.stopped == []
    assert scheduler.waiting() == set()


@pytest.mark.parametrize(
    ("changed", "counted"),
    [
        ({}, 6),
        ({"num_trials": 8}, 3),
        ({"reduction_factor": 3}, 3),
        ({"scheduler": "asha"}, 3),
        ({"max_concurrent": 2}, 0),
    ],
)
def test_brackets_begin_anew_with_the_open_trials_when_the_request_has_changed(tmp_path, changed, counted):
    ended = [record(f"t0000{index}", 0.1, 0.5, 0.6, 0.7) for index in range(3)]
    resume(tmp_path, points=SIX, **HYPERBAND)
    request = {**HYPERBAND, **changed}
    resume(tmp_path, ended, SIX[3:], **request)  # in which none ended
    left, scheduler = resume(tmp_path, ended, SIX[3:], **(request if "scheduler" not in changed else HYPERBAND))
    assert names(left.points) == names(SIX[3:])
    assert len(scheduler._trial_info) == counted


def test_a_rung_of_other_draws_is_not_taken_over(tmp_path):
    resume(tmp_path, points=SIX, **HYPERBAND)
    keep_rung(tmp_path, {**SIX[5], "draws": {RATE: 0.09}}, 0.5, 0.6)
    _, scheduler = resume(tmp_path, points=SIX, **HYPERBAND)
    assert scheduler.waiting() == set()


PBT = {"scheduler": "pbt", "grace_epochs": 2, "mode": "max"}


def keep_standing(folder, name, rate, *values):
    content = {"checkpoint": "", "values": {RATE: rate}, "draws": {RATE: rate}, "rows": rows(*values)}
    trial_folder(ResultsFolder(str(folder)), name).write_json(STANDING, content)


def added(scheduler, points):
    """The states of trials in PBT, in the order of their points."""
    tune = SimpleNamespace(search_alg=None)
    trials = [Trial("t", config=point, trial_id=point["trial"], stub=True) for point in points]
    for trial in trials:
        scheduler.on_trial_add(tune, trial)
    return [scheduler._trial_state[trial] for trial in trials], scheduler._quantiles()


def test_a_population_goes_on_with_its_numbers_and_scores(tmp_path):
    for name, rate, reached in [
        ("t00000", 0.05, (0.1,)),
        ("t00001", 0.06, (0.1, 0.9)),
        ("t00002", 0.07, (0.1, 0.3, 0.95)),
    ]:
        keep_standing(tmp_path, name, rate, *reached)
    left, scheduler = resume(tmp_path, **PBT)
    assert [point["draws"][RATE] for point in left.points] == [0.05, 0.06, 0.07, POINTS[3]["draws"][RATE]]
    states, (worst, best) = added(scheduler, left.points)
    assert [state.last_score for state in states] == [None, 0.9, 0.3, None]
    assert [state.last_train_time for state in states] == [0, 2, 2, 0]
    # The one that stands where it was compared is so again, and has then a checkpoint for the others.
    assert [state.last_perturbation_time for state in states] == [0, 0, 2, 0]
    assert ([trial.trial_id for trial in worst], [trial.trial_id for trial in best]) == (["t00002"], ["t00001"])


@pytest.mark.parametrize("space", [{RATE: {"uniform": [0.001, 0.02]}}, {"model.dropout": {"uniform": [0, 0.5]}}])
def test_numbers_outside_of_a_space_that_has_changed_are_not_taken_over(tmp_path, space):
    keep_standing(tmp_path, "t00000", 0.05, 0.1, 0.2)
    field = next(iter(space))
    points = [{"trial": "t00000", "draws": {field: 0.01}}]
    left, scheduler = resume(tmp_path, points=points, space=space, **PBT)
    assert left.points == points
    assert scheduler.reached == {}
