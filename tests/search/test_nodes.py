"""A search on several Ray nodes, of which one is lost, or comes later."""

from __future__ import annotations

import pytest
from ray_nodes import cluster_of

from nn_train.config import config_from_dict
from nn_train.events import TrialEnded
from nn_train.search import search

pytestmark = [pytest.mark.ray, pytest.mark.long]


def make(folder, callbacks=None, **search_section):
    return config_from_dict(
        {
            "name": "nodes",
            "data": {"source": "user_data:arrays"},
            "train": {"batch_size": 16, "epochs": 2, "callbacks": callbacks},
            "scaling": {"num_workers": 1},
            "run": {"storage_path": str(folder), "loggers": []},
            "search": {
                "space": {"optimizer.learning_rate": {"loguniform": [1e-3, 1e-1]}},
                "scheduler": "none",
                "keep_best": 0,
                **search_section,
            },
        }
    )


@pytest.fixture(scope="module")
def cluster():
    """A head with room for one trial; each test brings a second node."""
    with cluster_of(head_cpus=1) as cluster:
        yield cluster


def test_a_lost_node_costs_no_trial(tmp_path, cluster):
    second = cluster.add_node(num_cpus=1)
    lost = []

    def lose(event):
        if isinstance(event, TrialEnded) and not lost:
            lost.append(event.trial)
            cluster.remove_node(second, allow_graceful=False)

    outcome = search(make(tmp_path, num_trials=6), on_event=lose)
    assert lost
    assert sorted(record.trial for record in outcome.records) == [f"t{index:05d}" for index in range(6)]
    assert {record.status for record in outcome.records} == {"completed"}


def test_a_search_uses_a_node_that_comes_later(tmp_path, cluster):
    grown = []

    def grow(event):
        if isinstance(event, TrialEnded) and not grown:
            grown.append(cluster.add_node(num_cpus=1))
        if len(list(tmp_path.glob("node-*"))) == 2:
            raise KeyboardInterrupt  # that is what was to be seen

    config = make(tmp_path, callbacks="user_callbacks:note_node", num_trials=100)
    with pytest.raises(KeyboardInterrupt):
        search(config, on_event=grow)
