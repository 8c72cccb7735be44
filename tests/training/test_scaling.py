"""How many workers a training gets, and when it asks them to make way: decided from what Ray says of its nodes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import ray.train
from ray.train.v2._internal.execution.scaling_policy import NoopDecision
from ray.util.placement_group import PlacementGroup

from nn_train.config import ScalingConfig
from nn_train.events import Leaving
from nn_train.ray_cluster import placement
from nn_train.training import scaling
from nn_train.training.scaling import RoomPolicy
from nn_train.training.trainer import end_workers_of

PENDING, CREATED = ({"key": {"state": state}} for state in ("PENDING", "CREATED"))


@pytest.fixture
def cluster(monkeypatch):
    """``cluster(free, leaving, silent)``: free CPUs by node, the nodes that announced their end, and those gone."""

    def make(free, leaving=(), silent=(), groups=CREATED):
        nodes = [
            {"NodeID": name, "Alive": True, "NodeManagerAddress": name, "NodeManagerPort": 1, "Resources": {}}
            for name in free
        ]
        state = SimpleNamespace(
            available_resources_per_node=lambda: {name: {"CPU": cpus} for name, cpus in free.items() if cpus},
            get_draining_nodes=lambda: dict.fromkeys(leaving, 0),
        )
        monkeypatch.setattr(scaling, "state", state)
        monkeypatch.setattr(placement, "state", state)
        monkeypatch.setattr(scaling.ray, "nodes", lambda: nodes)
        monkeypatch.setattr(scaling.ray.util, "placement_group_table", lambda: groups)
        monkeypatch.setattr(placement, "answers", lambda address: address[0] not in silent)

    return make


def policy(least, most):
    config = ScalingConfig(num_workers=most, min_workers=least)
    made = RoomPolicy(ray.train.ScalingConfig(num_workers=most), config, lambda event: None, is_local=True)
    made.grow_after, made.room_for = 0.0, 1
    return made


@pytest.mark.parametrize(
    ("least", "free", "leaving", "silent", "size"),
    [
        (None, {"a": 1.0}, (), (), 4),  # not elastic: wait for all
        (1, {"a": 2.0, "b": 1.5}, (), (), 3),
        (2, {"a": 1.0}, (), (), 2),  # wait for the least
        (1, {"a": 2.0, "b": 2.0}, ("b",), (), 2),
        (1, {"a": 2.0, "b": 2.0}, (), ("b",), 2),
    ],
)
def test_workers_start_with_what_there_is(cluster, least, free, leaving, silent, size):
    cluster(free, leaving, silent)
    assert policy(least, 4).make_decision_for_non_running_worker_group().num_workers == size


def group(*nodes):
    workers = [SimpleNamespace(metadata=SimpleNamespace(node_id=node)) for node in nodes]
    return SimpleNamespace(workers=workers, num_workers=len(nodes), start_time=0.0)


@pytest.mark.parametrize(
    ("nodes", "free", "leaving", "why"),
    [
        (("a", "b"), {"a": 0.0, "b": 0.0, "c": 1.0}, (), "there is room for 3 workers"),
        (("a", "a", "a", "a"), {"a": 9.0}, (), None),  # all that were asked for
        (("a", "b"), {"a": 0.0, "b": 0.0, "c": 1.0}, ("c",), None),  # room that is about to go
        (("a", "b"), {"a": 0.0, "b": 0.0}, ("b",), "the machine of worker 1 is about to leave the cluster"),
    ],
)
def test_workers_make_way_for_more_and_for_the_end_of_their_machine(cluster, nodes, free, leaving, why):
    cluster(free, leaving)
    assert policy(1, 4).reason_to_drain(group(*nodes)) == why


def test_room_for_a_moment_or_that_others_wait_for_is_no_reason_to_leave(cluster, monkeypatch):
    patient = policy(1, 4)
    patient.room_for = 3
    seen = []
    for cpus, groups in [(1, {}), (1, {}), (0, {}), (1, {}), (1, PENDING), (1, {}), (1, {}), (1, {})]:
        cluster({"a": float(cpus)}, groups=groups)
        seen.append(patient.reason_to_drain(group("a")) is not None)
    assert seen == [False] * 7 + [True]


def test_a_ray_that_does_not_answer_does_not_end_a_training(cluster, monkeypatch):
    cluster({"a": 1.0}, leaving=("a",))
    far = policy(1, 4)
    far.is_local = False
    monkeypatch.setattr(far, "_maybe_send_resource_request", lambda: None)
    monkeypatch.setattr(scaling, "state", None)
    assert isinstance(far.make_decision_for_running_worker_group(group("a"), None), NoopDecision)
    assert not far.asked


def test_workers_are_asked_to_leave_once_and_those_after_them_again(cluster, monkeypatch):
    cluster({"a": 1.0}, leaving=("a",))
    monkeypatch.setattr(scaling, "LOOK_EVERY", 0.0)
    asked, told, workers = [], [], group("a")
    workers.workers[0].execute_async = asked.append
    far = policy(1, 4)
    far.is_local, far.tell = False, lambda event: told.extend([event] if isinstance(event, Leaving) else [])
    monkeypatch.setattr(far, "_maybe_send_resource_request", lambda: None)
    for times in (1, 2):
        for _ in range(3):
            far.make_decision_for_running_worker_group(workers, None)
        assert asked == [scaling.ask_to_drain] * times
        assert len(told) == times
        far.make_decision_for_non_running_worker_group()


def test_what_is_asked_of_ray_after_the_training_has_ended_starts_no_other_ray(monkeypatch):
    """Ray starts itself for whoever calls it first: here by a timer, after ``ray.shutdown``."""
    started = []
    monkeypatch.setattr(ray, "init", lambda *_, **__: started.append("a Ray"))
    policy(None, 1).tell_if_waiting()
    end_workers_of(PlacementGroup.empty())
    assert not started
