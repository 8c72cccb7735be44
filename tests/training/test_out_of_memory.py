"""A worker that takes more memory than there is: Ray ends it, and the job says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.ray]
HERE = Path(__file__).parents[1]  # where the model is
MARGIN = 3 * 2**30  # bytes that may be taken beyond what is used now: workers need about 1 GB each


def used_share_with(margin):
    """The share of the machine's memory that is used when ``margin`` more bytes are."""
    amounts = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
    total, available = int(amounts["MemTotal"]) * 1024, int(amounts["MemAvailable"]) * 1024
    if available < 2 * margin + 2**32:
        pytest.skip("needs 10 GB of free memory")
    return (total - available + margin) / total


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="reads how much memory is used from /proc")
def test_a_worker_that_is_killed_for_memory_is_named_with_what_to_change(tmp_path):
    words = [
        "--model.name",
        "struck_models:eats_memory",
        "--data.source",
        "user_code:arrays",
        "--train.batch_size",
        "8",
    ]
    words += [
        "--name",
        "hungry",
        "--run.storage_path",
        str(tmp_path),
        "--run.loggers",
        "none",
        "--run.max_failures",
        "0",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment |= {"RAY_memory_usage_threshold": f"{used_share_with(MARGIN):.4f}"}
    environment |= {"RAY_memory_monitor_refresh_ms": "100", "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "jobs.train", *words],
        cwd=HERE,
        env=environment,
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
