"""A worker that takes more memory than there is: Ray ends it, and the job says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ray_nodes import cluster_of

pytestmark = [pytest.mark.e2e, pytest.mark.ray, pytest.mark.long]
LEAST, MOST = 10 * 2**30, 16 * 2**30  # bytes: half of what is free may be taken; workers need about 1 GB each
KEPT = 2**30  # bytes that are left to others, whatever happens
WORDS = {
    "--model.name": "training.test_out_of_memory:eats_memory",
    "--data.source": "user_data:arrays",
    "--train.batch_size": "8",
    "--name": "hungry",
    "--run.loggers": "none",
    "--run.max_failures": "0",
}


def eats_memory(config):
    """Worker 1 takes memory, a part at a time, until it is killed for it."""
    from failing_models import model_with

    return model_with(config, 1, eat)


def eat():
    taken = []
    while memory()[1] > KEPT:
        taken.append(b"\1" * 2**26)
        threading.Event().wait(0.02)
    threading.Event().wait()


def memory():
    """Bytes of this machine, and how many of them are free."""
    amounts = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
    return int(amounts["MemTotal"]) * 1024, int(amounts["MemAvailable"]) * 1024


def threshold():
    """The share of the memory that may be used: far from all, and from what is now, as others take and free some."""
    total, available = memory()
    if available < LEAST:
        pytest.skip("needs 10 GB of free memory")
    return (total - available + min(available, MOST) / 2) / total


@pytest.fixture
def nodes(monkeypatch):
    """Two nodes for a worker each that end what takes too much; the head, whose memory is the same, does not."""
    with cluster_of(head_cpus=0) as cluster:
        monkeypatch.setenv("RAY_memory_usage_threshold", f"{threshold():.4f}")
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
