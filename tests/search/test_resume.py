"""What a scheduler is told of the trials of earlier sessions."""

from __future__ import annotations

import pytest
from ray.tune.schedulers import TrialScheduler
from trial_records import decision, job, rows

from nn_train.config.space import parse_space
from nn_train.search.journal import trial_folder
from nn_train.search.resume import population_points, replay
from nn_train.search.schedulers import make_scheduler
from nn_train.search.trial_training import STANDING
from nn_train.storage.folder import ResultsFolder

RATE = "optimizer.learning_rate"
GOOD = [0.90, 0.91, 0.92, 0.93]


@pytest.mark.parametrize(
    ("search", "earlier", "bad", "good"),
    [
        ({"mode": "max"}, [GOOD] * 8, 0.1, 0.99),
        ({"scheduler": "median"}, [GOOD] * 4, 0.1, 0.99),
    ],
)
def test_new_trials_are_judged_by_those_of_an_earlier_session(search, earlier, bad, good):
    scheduler = make_scheduler(job(**search), {})
    replay(scheduler, earlier)
    assert decision(scheduler, bad, epoch=2, name="bad") == TrialScheduler.STOP
    assert decision(scheduler, good, epoch=2, name="good") == TrialScheduler.CONTINUE


def keep_standing(folder, name, draws, *values):
    content = {"checkpoint": "", "values": draws, "draws": draws, "rows": rows(*values)}
    trial_folder(ResultsFolder(str(folder)), name).write_json(STANDING, content)


@pytest.mark.parametrize(
    ("space", "drawn", "expected"),
    [
        ({RATE: {"uniform": [0.001, 0.1]}}, 0.01, 0.05),
        ({RATE: {"uniform": [0.001, 0.02]}}, 0.01, 0.01),  # outside of a space that has changed
        ({"model.dropout": {"uniform": [0, 0.5]}}, 0.3, 0.3),
    ],
)
def test_a_population_resumes_with_the_numbers_that_lie_in_the_space(tmp_path, space, drawn, expected):
    keep_standing(tmp_path, "t00000", {RATE: 0.05}, 0.1, 0.9)
    (field,) = space
    points = [{"trial": name, "draws": {field: drawn}} for name in ("t00000", "t00001")]
    resumed = population_points(parse_space(space, job()), ResultsFolder(str(tmp_path)), points)
    assert resumed == [{"trial": "t00000", "draws": {field: expected}}, points[1]]
