"""A training on several Ray nodes, of which one is lost, announces its end, or comes later."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import user_data
from ray_nodes import cluster_of

from nn_train import train
from nn_train.config import config_from_dict
from nn_train.events import Leaving, Started, Starting, Waiting, WorkersLost
from nn_train.training import scaling

pytestmark = [pytest.mark.ray, pytest.mark.long]
TIMES = ("seconds", "samples_per_second", "world_size")


@pytest.fixture(scope="module")
def head():
    """A cluster of a head without CPUs, on which trainings shrink and grow at once."""
    with pytest.MonkeyPatch.context() as patch, cluster_of(head_cpus=0) as nodes:
        patch.setattr(scaling, "GROW_AFTER", 0.0)
        patch.setattr(scaling, "ROOM_FOR", 1)
        yield nodes


@pytest.fixture
def cluster(head):
    """The same with two nodes of one CPU each."""
    head.first, _ = head.add_node(num_cpus=1), head.add_node(num_cpus=1)
    yield head
    for node in list(head.worker_nodes):
        head.remove_node(node)


@pytest.fixture(scope="module")
def whole(head, tmp_path_factory):
    """The history of a run that nothing happens to, and its variables after the last epoch."""
    folder, nodes = tmp_path_factory.mktemp("whole"), [head.add_node(num_cpus=1), head.add_node(num_cpus=1)]
    history = run(folder, "without_dropout", Events())
    for node in nodes:
        head.remove_node(node)
    return history, weights(folder, "without_dropout")


class Events(list):
    """Those of one run; ``on`` is what is called with the first event of a kind, ``each`` with every one."""

    def __init__(self, on=()):
        super().__init__()
        self.on, self.each = dict(on), {}

    def __call__(self, event):
        self.append(event)
        once, each = self.on.pop(type(event), None), self.each.get(type(event))
        for action in (once, each):
            if action is not None:
                action(event)

    def of(self, kind, field):
        return [getattr(event, field) for event in self if isinstance(event, kind)]


def run(folder, model, events, source="user_data:arrays", **scaling_section):
    config = config_from_dict(
        {
            "name": model,
            "model": {"name": f"failing_models:{model}"},
            "data": {"source": str(source)},
            "train": {"batch_size": 8, "epochs": 4, "checkpoint_every_seconds": 1e-3},
            "optimizer": {"schedule": "cosine"},
            "scaling": {"num_workers": 2, **scaling_section},
            "run": {"storage_path": str(folder), "loggers": []},
        }
    )
    train(config, on_event=events)
    lines = (folder / model / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in lines]


def rows_of_files(folder):
    """The same examples in files, of which each worker reads its rows."""
    user_data.save_folder(folder / "data", user_data.arrays())
    return folder / "data"


def weights(folder, model):
    from nn_train.runs.checkpoints import unpack

    newest = max((folder / model / "checkpoints").glob("*.ckpt"))
    return [array.tobytes() for array in unpack(newest.read_bytes()).variables]


def announce_end(node):
    """What a cloud's notice, or ``ray drain-node``, tells the GCS."""
    import ray
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    deadline = int(time.time() * 1000) + 60_000
    client = ray._private.worker.global_worker.gcs_client
    accepted, why = client.drain_node(
        node, DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"), "taken back", deadline
    )
    assert accepted, why


def test_a_node_that_announces_its_end_is_left_with_a_checkpoint_and_nothing_is_repeated(whole, cluster, tmp_path):
    from nn_train.runs.chunk_hooks import FIRST_STEPS

    def announce(event):
        cluster.add_node(num_cpus=1)  # not before: each of the two nodes must have a worker
        announce_end(cluster.first.node_id)

    events = Events({Started: announce})
    assert run(tmp_path, "until_asked", events) == whole[0]
    assert weights(tmp_path, "until_asked") == whole[1]
    assert not events.of(WorkersLost, "what")
    leaving = {f"the machine of worker {rank} is about to leave the cluster" for rank in (0, 1)}
    assert events.of(Leaving, "why")
    assert set(events.of(Leaving, "why")) <= leaving
    resumed = list(zip(events.of(Started, "resumed_after"), events.of(Started, "resumed_step"), strict=True))
    assert resumed[:2] == [(0, 0), (0, FIRST_STEPS)]  # it was asked within the first chunk
    assert resumed == sorted(set(resumed))
    assert len(resumed) <= 3
    assert set(events.of(Starting, "workers")) == {2}


def test_a_lost_node_is_done_without_until_there_is_another(whole, cluster, tmp_path):

    def grow(event):
        if event.workers == 1:
            cluster.add_node(num_cpus=1)

    events = Events()
    events.each[Starting] = grow
    history = run(tmp_path, "node_killed", events, rows_of_files(tmp_path), num_workers=4, min_workers=1)
    sizes = events.of(Starting, "workers")
    assert sizes[0] == sizes[-1] == 2  # four would be welcome
    assert len(sizes) <= 5
    assert 1 in sizes  # in between; a start may meet the node that is lost but not yet known to be
    assert events.of(WorkersLost, "what")[0].startswith("worker 1 was lost: ")
    assert set(events.of(Leaving, "why")) == {"there is room for 2 workers"}
    assert history == [pytest.approx(row, rel=1e-4) for row in whole[0]]  # the same steps, each of the same batch


def test_without_a_least_number_a_lost_node_is_waited_for(whole, cluster, tmp_path):
    with ThreadPoolExecutor(1) as pool:  # a node ends with the thread that started it; that of an event ends at once
        events = Events({Waiting: lambda event: pool.submit(cluster.add_node, num_cpus=1)})
        assert run(tmp_path, "node_killed", events, rows_of_files(tmp_path)) == whole[0]
    assert weights(tmp_path, "node_killed") == whole[1]
    assert 1 <= len(events.of(WorkersLost, "what")) <= 2
    assert set(events.of(Starting, "workers")) == {2}
