"""A search on several Ray nodes, one of which is lost; and on a cluster that grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from nn_train.config import config_from_dict
from nn_train.search import search

pytestmark = pytest.mark.ray


def make(folder, **search_section):
    return config_from_dict(
        {
            "name": "nodes",
            "data": {"source": "user_code:arrays"},
            "train": {"batch_size": 16, "epochs": 2},
            "scaling": {"num_workers": 1},
            "run": {"storage_path": str(folder), "loggers": []},
            "search": {
                "space": {"optimizer.learning_rate": {"loguniform": [1e-3, 1e-1]}},
                "scheduler": "none",
                **search_section,
            },
        }
    )


@pytest.fixture
def user_code(monkeypatch):
    """Makes ``user_code`` known to the nodes' workers."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


def test_a_lost_node_costs_no_trial(tmp_path, user_code):
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    lost = []

    def lose(event):
        if event["event"] == "trial" and not lost:
            lost.append(event["record"].trial)
            cluster.remove_node(second, allow_graceful=False)

    try:
        outcome = search(make(tmp_path, num_trials=6), on_event=lose)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert lost
    assert sorted(record.trial for record in outcome.records) == [f"t{index:05d}" for index in range(6)]
    assert {record.status for record in outcome.records} == {"completed"}


def test_a_search_uses_the_nodes_that_a_cluster_grows_by(tmp_path, user_code):
    import ray
    from ray.cluster_utils import AutoscalingCluster

    node = {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 1}
    cluster = AutoscalingCluster(head_resources={"CPU": 0}, worker_node_types={"small": node}, idle_timeout_minutes=5)
    cluster.start(override_env={"PYTHONPATH": str(Path(__file__).parents[1])})
    try:
        ray.init("auto", log_to_driver=False, logging_level="ERROR")
        outcome = search(make(tmp_path, num_trials=2))
        assert ray.cluster_resources()["CPU"] == 1
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert {record.status for record in outcome.records} == {"completed"}
