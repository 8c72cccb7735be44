"""A training on two Ray nodes that have no IPv4 address at all. Needs root, for a network of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.ray,
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2"),
]
HERE = Path(__file__).parents[1]  # where user_code is
# $1: Python's folder; $2: the job. Nothing of it is left when the first process of the namespaces ends.
SCRIPT = """
set -e
ip link set lo up
ip address add fd00::1/128 dev lo nodad
ip address add fd00::2/128 dev lo nodad
ip address delete 127.0.0.1/8 dev lo
"$1"/ray start --head --node-ip-address=fd00::1 --num-cpus=1 --include-dashboard=false
"$1"/ray start --address='[fd00::1]:6379' --node-ip-address=fd00::2 --num-cpus=1
RAY_ADDRESS='[fd00::1]:6379' "$1"/python -m jobs.train $2
"""
WORDS = "--data.source user_data:arrays --train.batch_size 16 --train.epochs 1 --name six --run.loggers none"


def test_two_nodes_with_ipv6_addresses_only_train_together(tmp_path):
    alone = ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SCRIPT, "sh"]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    done = subprocess.run(
        [*alone, str(Path(sys.executable).parent), f"{WORDS} --run.storage_path {tmp_path}"],
        env=environment,
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "six" / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["world_size"] == 2  # each node has room for one
