"""A logger that fails while a job goes on costs no training and misses nothing."""

from __future__ import annotations

import pytest

from nn_train.errors import RequestError, TrainingError
from nn_train.runs.loggers import PAUSE, Loggers

NO_ANSWER = "no answer from http://…@mlflow:5000"


class Server:
    """A logger that works where it is up, the time, and what was said of it."""

    def __init__(self):
        self.up, self.now, self.entries, self.tries, self.closed, self.said = True, 0.0, [], 0, [], []

    def __call__(self):
        self.refuse_when_down()
        return self

    def refuse_when_down(self):
        if not self.up:
            self.tries += 1
            raise ConnectionError("no answer from http://ann:SECRET@mlflow:5000\nat all")

    def log(self, entry):
        self.refuse_when_down()
        self.entries.append(entry)

    def close(self, status):
        self.refuse_when_down()
        self.closed.append(status)

    def loggers(self, refusal=TrainingError):
        return Loggers({"mlflow": self}, self.said.append, refusal, clock=lambda: self.now)


def test_what_is_missed_is_caught_up_and_told_once():
    server = Server()
    made = server.loggers()
    made.log(1, "one")
    server.up = False
    made.log(2, "begun")
    made.log(2, "ended")
    for server.now in (PAUSE - 1, PAUSE):
        made.log(3, "three")
    assert server.said == [f"mlflow does not work: {NO_ANSWER}; tried again every 60 s"]
    assert server.tries == 2
    server.up, server.now = True, 2 * PAUSE
    made.log(4, "four")
    made.close()
    assert server.entries == ["one", "ended", "three", "four"]
    assert (len(server.said), server.closed) == (1, ["FINISHED"])


@pytest.mark.parametrize("refusal", [TrainingError, RequestError])
def test_what_is_down_at_the_start_ends_a_new_job_and_not_one_that_resumes(refusal):
    server = Server()
    server.up = False
    with pytest.raises(refusal, match=r"^run\.loggers: mlflow does not work: no answer .*; mend it, or leave it out$"):
        server.loggers(refusal)
    made = server.loggers(refusal=None)
    made.log(7, "seven")
    server.up = True
    made.close("KILLED")
    assert (server.entries, server.closed) == (["seven"], ["KILLED"])
