"""``python -m cluster.local``: real nodes on loopback, a job submitted to them, and nothing left."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from processes import LOOPBACK, listening

from cluster.local_nodes import marked

ROOT = Path(__file__).parents[2]
TIMEOUT = 400  # seconds
RAY = str(Path(sys.executable).with_name("ray"))


def on_nodes(test):
    if not sys.platform.startswith("linux"):
        return pytest.mark.skip(reason="cluster.local needs Linux: /proc")(test)
    return pytest.mark.ray(pytest.mark.long(test))


class Place:
    """A folder for temporary files of its own, so that a cluster of the machine's user is not touched."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
        self.environment["TMPDIR"] = folder

    def run(self, *command, **more):
        environment = {**self.environment, **more}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT)

    def local(self, *words):
        return self.run(sys.executable, "-m", "cluster.local", *words)

    def state(self):
        (file,) = Path(self.folder).glob("*/local.json")
        return json.loads(file.read_text())


@pytest.fixture
def place():
    folder = tempfile.mkdtemp(prefix="nn-", dir="/tmp")  # short: Ray's sockets lie below it
    there = Place(folder)
    yield there
    there.local("down")
    shutil.rmtree(folder, ignore_errors=True)


def npz(folder):
    generator = np.random.default_rng(0)
    y = np.arange(40) % 4
    x = (generator.random((40, 6)) + y[:, None]).astype("float32")
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    return str(folder / "data.npz")


def command_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_text()


@on_nodes
@pytest.mark.limit(TIMEOUT)
def test_nodes_come_up_run_a_job_and_go_down_without_a_trace(place, tmp_path):
    up = place.local("up", "cluster/local.yaml", "--nodes", "2")
    assert up.returncode == 0, up.stderr
    exported = dict(re.findall(r"(RAY_\w+)=(\S+)", up.stdout))
    mark = place.state()["mark"]
    # A node that fetches a job's working directory must not replace the one on another node.
    assert len(list(Path(place.folder).glob("nn_train-*/session_2*/runtime_resources_*"))) == 2
    addresses = listening(marked(mark))
    assert addresses
    assert addresses <= LOOPBACK

    again = place.local("up")
    assert again.returncode == 2
    assert re.fullmatch(r"error: .*2 nodes are up already.*python -m cluster.local down\n", again.stderr)
    assert place.local("status").returncode == 0

    words = ["--data.source", npz(tmp_path), "--train.batch_size", "8", "--train.epochs", "1"]
    words += ["--name", "small", "--run.storage_path", str(tmp_path), "--run.loggers", "none"]
    # Each node has room for one of the two workers.
    job = ["job", "submit", "--working-dir", ".", "--", "python", "-m", "jobs.train", *words]
    submitted = place.run(RAY, *job, **exported)
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    assert "epoch 1/1  loss" in submitted.stdout
    assert json.loads((tmp_path / "small" / "result.json").read_text())["world_size"] == 2
    refused = place.run(RAY, "job", "list", RAY_ADDRESS=place.state()["dashboard"], RAY_AUTH_MODE="disabled")
    assert refused.returncode != 0
    assert "401" in refused.stdout + refused.stderr or "oken" in refused.stdout + refused.stderr

    (raylet, _) = [pid for pid in sorted(marked(mark)) if "/raylet/raylet" in command_of(pid).split("\0")[0]]
    os.kill(raylet, signal.SIGKILL)
    os.kill(place.state()["nodes"][1], signal.SIGKILL)  # what it started lives on
    status = place.local("status")
    assert status.returncode == 1
    assert re.search(r"node 1 .* DEAD", status.stdout)

    down = place.local("down")
    assert down.returncode == 0
    assert re.fullmatch(r"ended \d+ processes\n", down.stdout)
    assert not marked(mark)
    assert not list(Path(place.folder).glob("nn_train-*"))
    assert place.local("down").stdout == "nothing is up\n"
    status = place.local("status")
    assert status.returncode == 1
    assert status.stdout.startswith("nothing is up; start with: python -m cluster.local up")
