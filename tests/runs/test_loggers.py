"""A logger that fails while a run goes on costs no training and misses nothing."""

from __future__ import annotations

import pytest

from nn_train.config import config_from_dict
from nn_train.errors import TrainingError
from nn_train.runs import loggers
from nn_train.runs.loggers import Loggers

CONFIG = config_from_dict({"run": {"loggers": ["mlflow"]}})


class Server:
    """What takes rows where it is up."""

    def __init__(self):
        self.up, self.rows, self.closed = True, [], 0

    def __call__(self, config, folder):
        self.refuse_when_down()
        return self

    def refuse_when_down(self):
        if not self.up:
            raise ConnectionError("no answer from http://ann:SECRET@mlflow:5000\nat all")

    def log(self, row):
        self.refuse_when_down()
        self.rows.append(row)

    def close(self):
        self.refuse_when_down()
        self.closed += 1


@pytest.fixture
def server(monkeypatch):
    made = Server()
    monkeypatch.setitem(loggers.KINDS, "mlflow", made)
    return made


def test_what_is_missed_is_caught_up_and_told_once(server):
    made = Loggers(CONFIG, None, must_work=True)
    assert made.log({"epoch": 1}) == []
    server.up = False
    assert made.log({"epoch": 2}) == [
        "mlflow does not work: no answer from http://…@mlflow:5000; tried again after every epoch"
    ]
    assert made.log({"epoch": 3}) == []
    server.up = True
    assert made.log({"epoch": 4}) == []
    assert made.close() == []
    assert server.rows == [{"epoch": epoch} for epoch in (1, 2, 3, 4)]
    assert server.closed == 1


def test_what_is_down_at_the_start_ends_a_new_run_and_not_one_that_goes_on(server):
    server.up = False
    with pytest.raises(
        TrainingError, match=r"^run\.loggers: mlflow does not work: no answer .*; mend it, or leave it out$"
    ):
        Loggers(CONFIG, None, must_work=True)
    made = Loggers(CONFIG, None, must_work=False)
    assert len(made.log({"epoch": 7})) == 1
    server.up = True
    assert made.log({"epoch": 8}) == []
    assert server.rows == [{"epoch": 7}, {"epoch": 8}]


def test_what_stays_down_is_told_at_the_end(server):
    made = Loggers(CONFIG, None, must_work=True)
    server.up = False
    made.log({"epoch": 1})
    made.log({"epoch": 2})
    assert made.close() == [
        "mlflow did not get the last 2 epochs",
        "mlflow was not ended: no answer from http://…@mlflow:5000",
    ]
