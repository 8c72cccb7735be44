"""A worker that takes more memory than there is: Ray ends it, and the job says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ray_nodes import cluster_of

pytestmark = [pytest.mark.e2e, pytest.mark.ray]
MARGIN = 3 * 2**30  # bytes that may be taken beyond what is used now: workers need about 1 GB each
WORDS = {
    "--model.name": "struck_models:eats_memory",
    "--data.source": "user_data:arrays",
    "--train.batch_size": "8",
    "--name": "hungry",
    "--run.loggers": "none",
    "--run.max_failures": "0",
}


def used_share_with(margin):
    """The share of the machine's memory that is used when ``margin`` more bytes are."""
    amounts = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
    total, available = int(amounts["MemTotal"]) * 1024, int(amounts["MemAvailable"]) * 1024
    if available < 2 * margin + 2**32:
        pytest.skip("needs 10 GB of free memory")
    return (total - available + margin) / total


@pytest.fixture
def nodes(monkeypatch):
    """Two nodes for a worker each that end what takes too much; the head, whose memory is the same, does not."""
    with cluster_of(head_cpus=0) as cluster:
        monkeypatch.setenv("RAY_memory_usage_threshold", f"{used_share_with(MARGIN):.4f}")
        monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="reads how much memory is used from /proc")
def test_a_worker_that_is_killed_for_memory_is_named_with_what_to_change(tmp_path, nodes):
    words = [word for pair in {**WORDS, "--run.storage_path": str(tmp_path)}.items() for word in pair]
    done = subprocess.run(
        [sys.executable, "-m", "jobs.train", *words],
        env={**os.environ, "RAY_ADDRESS": nodes.address, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.match(r"error: workers? \d.* lost: the machine ran out of memory \(.*GB of .*GB were used\)", done.stderr)
    assert "a smaller train.batch_size, or fewer workers on a machine" in done.stderr
    record = json.loads((tmp_path / "hungry" / "result.json").read_text())
    assert record["status"] == "failed"
    assert "ran out of memory" in record["cause"]
