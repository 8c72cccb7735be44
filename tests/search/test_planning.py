"""The plan: how many trials and epochs, and what they would cost."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from trial_records import job, record

from nn_train.search.planning import Pace, make_plan, pace_of, plan_lines, rungs

PACE = Pace(start=10.0, epoch=2.0, model_bytes=4_000_000, source="a short probe of the unvaried job")


@pytest.mark.parametrize(
    ("trials", "epochs", "search", "expected"),
    [
        (16, 4, {}, {"reached": [(1, 16), (4, 4)], "epochs_worst": 64, "epochs_expected": 16 + 4 * 3}),
        (100, 8, {}, {"reached": [(1, 100), (4, 25), (8, 7)], "epochs_expected": 100 + 25 * 3 + 7 * 4}),
        (5, 8, {"scheduler": "none"}, {"reached": [(8, 5)], "epochs_worst": 40, "epochs_expected": 40}),
        (
            4,
            2,
            {"scheduler": "none", "confirm": {"top": 2, "seeds": 3}},
            {"confirming": 6, "epochs_worst": 20, "epochs_expected": 20},
        ),
    ],
)
def test_the_epochs_of_a_search(trials, epochs, search, expected):
    config = job(epochs=epochs, **search)
    plan = asdict(make_plan(config, rungs(config), trials, at_a_time=2))
    assert {name: plan[name] for name in expected} == expected


def test_a_plan_in_words():
    config = job(epochs=4, time_budget=90, keep_best=2, confirm={"top": 1, "seeds": 2})
    lines = plan_lines(config, make_plan(config, rungs(config), 16, at_a_time=2), PACE)
    assert lines == [
        "16 trials to run, and 2 to confirm the best with other seeds, 2 at a time",
        "trials expected at each rung of asha: epoch 1: 16, epoch 4: 4",
        "epochs: about 36, at most 72",
        "time: about 46 s, at most 1 min 22 s, with 2.00 s an epoch (a short probe of the unvaried job); "
        "the budget is 1 min 30 s",
        "disk: about 80 MB for 4 models at a time",
    ]


def test_the_pace_comes_from_earlier_trials_where_there_are_three():
    known = [record(f"t{i}", 0.5, 0.5, started=0.0, finished=2.0 * seconds) for i, seconds in enumerate((1, 3, 90))]
    lost = record("t9", status="failed")
    assert pace_of(job(), [*known, lost], lambda: PACE).epoch == 3.0
    assert "3 earlier trials" in pace_of(job(), known, lambda: PACE).source
    assert pace_of(job(), [*known[:2], lost], lambda: PACE) is PACE
