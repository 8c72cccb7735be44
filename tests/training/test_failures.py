"""Which failures are worth another try, and what a person is shown of them."""

from __future__ import annotations

import pickle

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError, RayActorError
from ray.train import ControllerError, FailureConfig, WorkerGroupError
from ray.train.v2._internal.exceptions import (
    UserExceptionWithTraceback,
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)
from ray.train.v2._internal.execution.failure_handling import FailureDecision

from nn_train.engine.lost_peers import PeerLostError, lost_peers
from nn_train.errors import RequestError, TrainingError
from nn_train.runs.draining import DrainedError
from nn_train.training.failures import HungError, RetryLostWorkers, describe_losses, workers_lost
from nn_train.training.ray_train import explain

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
    events = []
    policy = RetryLostWorkers(FailureConfig(max_failures=1), events.append)
    assert policy.make_decision(WorkerGroupError("failed", failures)) == decision
    assert len(events) == (decision is RETRY)


@pytest.mark.parametrize(
    "error",
    [
        WorkerGroupError("failed", {0: PeerLostError("gone")}),
        ControllerError(WorkerGroupStartupFailedError("a worker actor failed to initialize")),
        ControllerError(OutOfMemoryError("killed while it started")),
    ],
)
def test_the_limit_of_restarts_holds_and_each_is_told(error):
    events = []
    policy = RetryLostWorkers(FailureConfig(max_failures=2), events.append)
    assert [policy.make_decision(error) for _ in range(3)] == [RETRY, RETRY, RAISE]
    assert [(event.restart, event.restarts) for event in events] == [(1, 2), (2, 2)]


def test_workers_that_left_as_they_were_asked_to_are_started_again_without_limit():
    events = []
    policy = RetryLostWorkers(FailureConfig(max_failures=0), events.append)
    error = WorkerGroupError("failed", {0: UserExceptionWithTraceback(DrainedError(), "…"), 1: PeerLostError("gone")})
    assert [policy.make_decision(error) for _ in range(5)] == [RETRY] * 5
    assert events == []


def test_machines_that_are_taken_back_are_told_and_do_not_count():
    events = []
    policy = RetryLostWorkers(FailureConfig(max_failures=1), events.append)
    errors = [PREEMPTED, ActorDiedError(), PREEMPTED, ActorDiedError()]
    decisions = [policy.make_decision(WorkerGroupError("failed", {1: polled(error)})) for error in errors]
    assert decisions == [RETRY, RETRY, RETRY, RAISE]
    assert [event.restart for event in events] == [None, 1, None]


def test_waiting_for_room_has_no_limit_and_is_no_failure():
    events = []
    policy = RetryLostWorkers(FailureConfig(max_failures=0), events.append)
    error = ControllerError(WorkerGroupStartupTimeoutError(2))
    assert [policy.make_decision(error) for _ in range(5)] == [RETRY] * 5
    assert events == []


# As Ray 2.60 words them.
OUT_OF_MEMORY = OutOfMemoryError(
    "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 192.0.2.1, ID: dee) was "
    "22.91GB used / 23.54GB limit (0.973000)\nOOM kill reason: …"
)
MACHINE_LOST = RayActorError(error_msg="The actor is dead because its node has died. Node Id: 4ea2")
PREEMPTED = RayActorError(error_msg="The actor is dead because its node has died.", preempted=True)
SILENT = WorkerHealthCheckTimeoutError("A worker health check has been hanging for 600.0 seconds.")
PEER = UserExceptionWithTraceback(PeerLostError("worker 0 lost another worker"), "Traceback …")


def polled(error):
    """An error as Ray Train passes it on when it asked a worker how it is."""
    return WorkerHealthCheckFailedError("A worker health check failed.\nWorker info: …", failure=error)


@pytest.mark.parametrize(
    ("failures", "text"),
    [
        (
            {1: polled(ActorDiedError())},
            "worker 1 was lost: killed (signal 9, or by the system for lack of memory) or crashed",
        ),
        (
            {0: polled(ActorDiedError()), 2: polled(ActorDiedError()), 3: polled(ActorDiedError())},
            "workers 0, 2 and 3 were lost: killed (signal 9, or by the system for lack of memory) or crashed",
        ),
        (
            {0: PEER, 1: polled(OUT_OF_MEMORY)},
            "worker 1 was lost: the machine ran out of memory (22.91GB of 23.54GB were used)",
        ),
        ({0: polled(MACHINE_LOST)}, "worker 0 was lost: the machine left the cluster"),
        ({0: polled(PREEMPTED)}, "worker 0 was lost: the machine was taken back"),
        (
            {0: polled(ActorUnavailableError("no answer", None))},
            "worker 0 was lost: the process or its machine does not answer",
        ),
        ({0: SILENT}, "worker 0 was lost: the process or its machine does not answer"),
        ({0: PEER, 1: PeerLostError("gone")}, "workers 0 and 1 were lost: the connection to the others broke"),
        ({0: PEER, 2: PeerLostError("gone", (1,))}, "worker 1 was lost: the connection to it broke"),
        (
            {0: PeerLostError("gone", (1,)), 2: PeerLostError("gone", (0,))},
            "worker 1 was lost: the connection to it broke",
        ),
        (
            {0: polled(MACHINE_LOST), 1: polled(OUT_OF_MEMORY), 2: PEER},
            "worker 1 was lost: the machine ran out of memory (22.91GB of 23.54GB were used); "
            "worker 0 was lost: the machine left the cluster",
        ),
        ({0: polled(HungError("no end", (1,)))}, "worker 1 was lost: its training has stopped moving (no end)"),
        (
            {0: polled(HungError("no end", (1,))), 1: polled(OUT_OF_MEMORY)},
            "worker 1 was lost: the machine ran out of memory (22.91GB of 23.54GB were used)",
        ),
        ({1: RuntimeError("new in Ray")}, "worker 1 was lost: RuntimeError: new in Ray"),
        ({}, "a worker was lost while it started"),
    ],
)
def test_a_loss_is_told_in_words(failures, text):
    assert describe_losses(failures) == text


@pytest.mark.parametrize(("error", "advised"), [(OUT_OF_MEMORY, True), (MACHINE_LOST, False)])
def test_who_ran_out_of_memory_is_told_what_to_change(error, advised):
    advice = workers_lost({0: polled(error)}, 1, 3).advice
    assert (advice is not None and "train.batch_size" in advice) == advised
    last = explain(WorkerGroupError("failed", {0: polled(error)}), "The run in /results/run goes on", 3)
    assert ("train.batch_size" in str(last)) == advised
    assert "no restart is left (run.max_failures 3)" in str(last)
    assert "/results/run goes on" in str(last)


@pytest.mark.parametrize("error", [OUT_OF_MEMORY, ControllerError(ValueError("new in Ray"))])
def test_a_lost_controller_is_told_in_words(error):
    said = str(explain(error, "The run in /results/run goes on", 3))
    assert said.startswith("the process that watches the workers failed: ")
    assert ("ran out of memory" in said) == ("train.batch_size" in said) == (error is OUT_OF_MEMORY)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "peers"),
    [
        (
            "from /job:worker/task:1: tasks are unhealthy (no heartbeats):\n/job:worker/replica:0/task:1\nThe tasks",
            (1,),
        ),
        ("remote target /job:worker/replica:0/task:12 while calling; /job:worker/replica:0/task:0/device:CPU:0", (12,)),
        ("Socket closed", ()),
    ],
)
def test_whom_tensorflow_lost_is_read_from_its_account_and_survives_the_way_to_the_driver(text, peers):
    error = PeerLostError(text, lost_peers(RuntimeError(text), own_rank=0))
    assert pickle.loads(pickle.dumps(error)).peers == peers
    assert str(pickle.loads(pickle.dumps(error))) == text
