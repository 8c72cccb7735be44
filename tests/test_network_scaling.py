"""``benchmarks.network_scaling`` on two hosts, with the smallest case there is."""

from __future__ import annotations

import os
import shutil

import pytest

from benchmarks.hosts import joined_hosts
from benchmarks.network_scaling import DELAY, Case, measure
from benchmarks.network_worker import workers


@pytest.mark.dist
@pytest.mark.tf
@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2")
def test_every_link_is_measured_with_the_gradients_that_go_over_it():
    case = Case("mlp", 4, "sgd", 8, steps=2)
    with (
        joined_hosts(2, DELAY) as switch,
        workers(switch.hosts, together=False) as alone,
        workers(switch.hosts, together=True) as together,
    ):
        rows = list(measure(switch, case, alone, together, rounds=1))
    assert [row.link for row in rows] == ["unshaped", "10 Gbit/s", "1 Gbit/s"]
    for row in rows:
        assert row.bytes == 4 * (784 * 4 + 4 + 4 * 10 + 10)
        assert row.network.workers == 2
        assert min(row.step, row.compute) > 0
    slowest = rows[-1].network
    assert slowest.bandwidth < 1.3e8  # bytes a second
    assert slowest.one_way > DELAY / 1000
