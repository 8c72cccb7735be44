"""Which failures are worth another try, and what a person is shown of them."""

from __future__ import annotations

import pytest
from ray.train import FailureConfig, WorkerGroupError
from ray.train.v2._internal.execution.failure_handling import FailureDecision

from nn_train.errors import RequestError, TrainingError
from nn_train.training.failures import PeerLostError, RetryLostWorkers, own_traceback

RETRY, RAISE = FailureDecision.RETRY, FailureDecision.RAISE


@pytest.mark.parametrize(
    ("failures", "decision"),
    [
        ({0: RequestError("wrong")}, RAISE),
        ({1: TrainingError("NaN")}, RAISE),
        ({0: PeerLostError("gone")}, RETRY),
        ({1: RuntimeError("the actor died")}, RETRY),
        ({0: PeerLostError("gone"), 1: TrainingError("NaN")}, RAISE),
    ],
)
def test_lost_workers_are_replaced_and_mistakes_reported(failures, decision):
    policy = RetryLostWorkers(FailureConfig(max_failures=1))
    assert policy.make_decision(WorkerGroupError("failed", failures)) == decision


def test_the_limit_of_restarts_holds():
    policy = RetryLostWorkers(FailureConfig(max_failures=2))
    error = WorkerGroupError("failed", {0: PeerLostError("gone")})
    assert [policy.make_decision(error) for _ in range(3)] == [RETRY, RETRY, RAISE]


def test_a_traceback_shows_the_users_file_and_where_it_was_raised(tmp_path, monkeypatch):
    (tmp_path / "their_model.py").write_text("import json\ndef build():\n    return json.loads('{')\n")
    monkeypatch.syspath_prepend(tmp_path)
    from nn_train.entry_points import call_entry_point

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any message
        call_entry_point("model.name", "their_model:build")
    shown = own_traceback(caught.value)
    assert "their_model.py" in shown
    assert "JSONDecodeError" in shown
    assert "entry_points.py" not in shown
