"""Whether a request fits a cluster: decided without one."""

from __future__ import annotations

import pytest

from nn_train.config import ScalingConfig
from nn_train.training.cluster import unplaceable

SMALL = {"CPU": 2.0}
GPU = {"CPU": 8.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("scaling", "nodes", "limit", "said"),
    [
        (ScalingConfig(num_workers=2), [SMALL], None, None),
        (ScalingConfig(num_workers=4, cpus_per_worker=0.5), [SMALL], None, None),
        (ScalingConfig(num_workers=3), [SMALL], None, "3 workers of 1 CPUs need 3 CPUs, the cluster has 2"),
        (ScalingConfig(num_workers=3), [SMALL, SMALL], None, None),
        (ScalingConfig(num_workers=1, cpus_per_worker=3), [SMALL, SMALL], None, "only 0 of 1 workers fit"),
        (ScalingConfig(num_workers=2, cpus_per_worker=1.5), [SMALL, {"CPU": 1.0}], None, "only 1 of 2 workers fit"),
        (ScalingConfig(num_workers=1, use_gpu=True), [SMALL], None, "the cluster has 0"),
        (ScalingConfig(num_workers=1, use_gpu=True), [SMALL, GPU], None, None),
        (ScalingConfig(num_workers=2, use_gpu=True, gpus_per_worker=0.5), [GPU], None, None),
        (ScalingConfig(num_workers=4, use_gpu=True), [SMALL], {"CPU": 64, "GPU": 4}, None),
        (ScalingConfig(num_workers=5, use_gpu=True), [SMALL], {"CPU": 64, "GPU": 4}, "even when it has grown"),
        (ScalingConfig(num_workers=1, cpus_per_worker=16), [SMALL], {"CPU": 64, "GPU": 4}, "only 0 of 1 workers fit"),
    ],
)
def test_what_fits_is_decided_before_anything_waits(scaling, nodes, limit, said):
    problem = unplaceable(scaling, nodes, limit, [GPU] if limit else [])
    if said is None:
        assert problem is None
    else:
        assert problem is not None
        assert said in problem
