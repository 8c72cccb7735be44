"""The doctor on real nodes, of which one is broken in every way that one machine allows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ray_nodes import cluster_of, node_without

from nn_train.config import config_from_dict
from nn_train.doctor.findings import FAILED, NOT_APPLICABLE, OK

pytestmark = pytest.mark.ray
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster():
    with cluster_of(head_cpus=1) as made:
        yield made


def examine(folder, **options):
    """The findings by the check's name."""
    from nn_train.doctor import examine

    config = config_from_dict({"run": {"storage_path": str(folder)}})
    return {one.check: one for one in examine(config, **options)}


def results(findings):
    return {name: one.result for name, one in findings.items()}


def test_two_nodes_of_one_machine_are_in_order(cluster, tmp_path):
    second = cluster.add_node(num_cpus=1)
    findings = examine(tmp_path / "results")
    cluster.remove_node(second)
    assert results(findings) == {
        "ray": OK,
        "nodes": OK,
        "versions": OK,
        "gpus": NOT_APPLICABLE,
        "storage": OK,
        "ports": OK,
        "clocks": OK,
    }
    assert "(4 connections)" in findings["ports"].found[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_every_fault_of_a_node_is_found_at_once(cluster, tmp_path):
    """Another Keras, a folder of its own, and a GPU that is none."""
    folder, modules = tmp_path / "results", tmp_path / "modules"
    folder.mkdir()
    (modules / "keras-3.0.0.dist-info").mkdir(parents=True)
    (modules / "keras-3.0.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: keras\nVersion: 3.0.0\n")
    with node_without(folder, cluster.address, "--num-gpus=1", PYTHONPATH=str(modules)):
        findings = examine(folder)
        assert results(findings) == {
            "ray": OK,
            "nodes": OK,
            "versions": FAILED,
            "gpus": FAILED,
            "storage": FAILED,
            "ports": OK,
            "clocks": OK,
        }
        assert [line.split(":")[0] for line in findings["versions"].found] == ["keras"]
        assert "3.0.0 on " in findings["versions"].found[0]
        assert findings["gpus"].found[0].endswith("Ray counts 1, TensorFlow sees 0")
        assert findings["storage"].found[0].endswith("has a folder of its own there")
        assert "NFS" in findings["storage"].advice
    assert list(folder.iterdir()) == []


@pytest.mark.long
def test_a_node_that_cannot_write_to_the_folder_is_named(cluster, tmp_path):
    with node_without(tmp_path, cluster.address, read_only=True):
        findings = examine(tmp_path)
    assert findings["storage"].result == FAILED
    (line,) = findings["storage"].found
    assert "Read-only file system" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_node_without_this_package_says_so(cluster, tmp_path):
    with node_without(ROOT / "nn_train", cluster.address):
        findings = examine(tmp_path)
    assert findings["nodes"].result == findings["ports"].result == findings["clocks"].result == OK
    assert "nn_train" in findings["versions"].found[0]
    assert "missing on " in findings["versions"].found[0]
    assert "No module named 'nn_train." in findings["storage"].found[0]


@pytest.mark.long
def test_a_node_that_does_not_answer_is_named_and_the_others_are_examined(cluster, tmp_path):
    silent = cluster.add_node(num_cpus=1)
    raylet = silent.all_processes["raylet"][0].process.pid
    os.kill(raylet, signal.SIGSTOP)
    try:
        findings = examine(tmp_path, answer_within=30)  # the others start a process for it
    finally:
        os.kill(raylet, signal.SIGCONT)
        cluster.remove_node(silent)
    assert findings["nodes"].result == FAILED
    assert len(findings["nodes"].found) == 1
    assert silent.node_id[:6] in findings["nodes"].found[0]
    assert findings["storage"].result == findings["ports"].result == OK


def test_the_command_ends_with_1_when_something_failed(tmp_path):
    """Of a job of one machine, and where there is no cluster."""
    environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:1"}
    words = [sys.executable, "-m", "jobs.doctor", "--run.storage_path", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no Ray answers at 127.0.0.1:1" in done.stdout
    assert "Traceback" not in done.stderr
    del environment["RAY_ADDRESS"]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for check in ("ray", "nodes", "versions", "gpus", "storage", "ports", "clocks"):
        assert f"\n{check} " in done.stdout
