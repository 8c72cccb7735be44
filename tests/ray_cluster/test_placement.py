"""Whether a request fits a cluster: decided without one."""

from __future__ import annotations

import pytest

from nn_train.config import ScalingConfig
from nn_train.ray_cluster import placement
from nn_train.ray_cluster.placement import growth, is_waiting, unplaceable, waiting_for

SMALL = {"CPU": 2.0}
GPU = {"CPU": 8.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("scaling", "nodes", "limit", "said"),
    [
        (ScalingConfig(num_workers=4, cpus_per_worker=0.5), [SMALL], None, None),
        (ScalingConfig(num_workers=3), [SMALL], None, "3 workers of 1 CPU need 3 CPUs, the cluster has 2"),
        (ScalingConfig(num_workers=9, min_workers=2), [SMALL], None, None),
        (ScalingConfig(num_workers=9, min_workers=3), [SMALL], None, "scaling.min_workers: 3 workers of 1 CPU need 3"),
        (ScalingConfig(num_workers=2, cpus_per_worker=1.5), [SMALL, {"CPU": 1.0}], None, "only 1 of 2 workers fit"),
        (ScalingConfig(num_workers=2, use_gpu=True, gpus_per_worker=0.5), [GPU], None, None),
        (ScalingConfig(num_workers=4, use_gpu=True), [SMALL], {"CPU": 64, "GPU": 4}, None),
        (ScalingConfig(num_workers=5, use_gpu=True), [SMALL], {"CPU": 64, "GPU": 4}, "even when it has grown"),
    ],
)
def test_what_fits_is_decided_before_anything_waits(scaling, nodes, limit, said):
    problem = unplaceable(scaling, nodes, limit, [GPU] if limit else [])
    if said is None:
        assert problem is None
    else:
        assert problem is not None
        assert said in problem


@pytest.mark.parametrize(
    ("scaling", "total", "free", "text"),
    [
        (ScalingConfig(num_workers=2), {"CPU": 4.0}, {"CPU": 1.0}, "2 CPUs: 1 of 4 free"),
        (
            ScalingConfig(num_workers=2, use_gpu=True),
            {"CPU": 4.0, "GPU": 2.0},
            {"CPU": 1.0},
            "2 CPUs: 1 of 4 free; 2 GPUs: 0 of 2 free",
        ),
        (
            ScalingConfig(num_workers=1, cpus_per_worker=2),
            {"CPU": 4.0},
            {"CPU": 2.0},
            "2 CPUs: 2 of 4 free, but spread over too many machines",
        ),
    ],
)
def test_who_waits_is_told_for_what(scaling, total, free, text):
    assert waiting_for(scaling, total, free) == text


@pytest.mark.parametrize(
    ("groups", "waiting"),
    [
        ({"aaaa02000000": {"state": "PENDING"}}, True),
        ({"aaaa03000000": {"state": "PENDING"}}, False),  # of another job
    ],
)
def test_only_a_placement_group_of_the_job_itself_makes_it_wait(groups, waiting):
    assert is_waiting(groups, "02000000") == waiting


def test_what_the_cluster_can_grow_by_is_read_where_the_launchers_leave_it(monkeypatch, tmp_path):
    monkeypatch.delenv(placement.KUBERAY, raising=False)
    monkeypatch.setattr(placement, "HEAD_CONFIG", tmp_path / "config.yaml")
    assert growth() == []
    worker = "spot: {resources: {CPU: 4, GPU: 1}, max_workers: 20}"
    kinds = "head_node_type: head\nmax_workers: 8\navailable_node_types: {head: {resources: {CPU: 0}}, %s}"
    (tmp_path / "config.yaml").write_text(kinds % worker)
    assert growth() == [({"CPU": 4, "GPU": 1}, 8)]
    (tmp_path / "config.yaml").write_text(kinds % "spot: {}")
    assert growth() is None
    (tmp_path / "config.yaml").unlink()
    monkeypatch.setenv(placement.KUBERAY, "true")
    assert growth() is None
