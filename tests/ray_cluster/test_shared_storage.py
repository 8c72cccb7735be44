"""Results go only where every machine sees them; what would lie elsewhere is refused before workers start."""

from __future__ import annotations

import pytest
from ray_nodes import cluster_of, node_without

from nn_train.config import config_from_dict
from nn_train.errors import RequestError

CONTENT = {"data": {"source": "user_data:arrays"}, "train": {"epochs": 1, "batch_size": 16}}
SPACE = {"search": {"space": {"optimizer.learning_rate": {"loguniform": [1e-3, 1e-1]}}, "num_trials": 1}}


@pytest.fixture(scope="module")
def cluster():
    with cluster_of(head_cpus=2) as made:
        yield made


@pytest.fixture(scope="module")
def unshared(cluster, tmp_path_factory):
    """A folder that the second of two nodes does not see."""
    folder = tmp_path_factory.mktemp("unshared")
    with node_without(folder, cluster.address):
        yield folder


def make(folder, **sections):
    return config_from_dict({**CONTENT, **sections, "run": {"storage_path": str(folder), "loggers": []}})


def run_train(config):
    from nn_train import train

    train(config)


def run_search(config):
    from nn_train.search import search

    search(config)


def run_pipeline(config):
    from nn_train.pipeline import run_pipeline

    run_pipeline(config)


def on_nodes(test):
    """With a node whose disk is another one: needs root, or namespaces of one's own."""
    return pytest.mark.ray(pytest.mark.long(test))


@on_nodes
@pytest.mark.parametrize(
    ("job", "sections"),
    [(run_train, {}), (run_search, SPACE), (run_pipeline, {"pipeline": {"models": {"mlp": {}}}})],
    ids=["train", "search", "pipeline"],
)
def test_a_folder_of_one_machine_is_refused_and_left_as_it_was(unshared, job, sections):
    with pytest.raises(RequestError, match=r"run\.storage_path: .* is not shared: 1 of 1 other nodes .*NFS.*s3://"):
        job(make(unshared / "deep" / "results", **sections))
    assert list(unshared.iterdir()) == []


def test_the_working_directory_of_a_submitted_job_is_no_place_for_results(tmp_path):
    from nn_train.prediction.driver import evaluate_runs
    from nn_train.ray_cluster.shared_storage import refuse_temporary

    folder = tmp_path / "session_1" / "runtime_resources" / "working_dir_files" / "_ray_pkg_1" / "results"
    with pytest.raises(RequestError, match=r"run\.storage_path: .* temporary .*absolute path.*s3://"):
        refuse_temporary("run.storage_path", str(folder))
    with pytest.raises(RequestError, match=r"--output: .* temporary "):
        evaluate_runs([tmp_path], folder)
    assert list(tmp_path.iterdir()) == []
