"""The image, really built (on a stand-in base, since no registry is asked), and a Ray cluster of two containers."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from containers import PACKAGES, TOOLS, Engine
from tools import need, need_root

pytestmark = pytest.mark.launch
ROOT = Path(__file__).parents[2]
IMAGE = "localhost/nn-train:cpu"
BASE = "localhost/stand-in"
PIPELINE = ["python", "-m", "jobs.pipeline", "--config", "mnist", "--quick"]
RESULTS = "/home/ray/results"
SUBMISSIONS = {
    "jobs_submit": ["python", "-m", "jobs.submit", "train"],
    "ray_job_submit": ["ray", "job", "submit", "--working-dir", ".", "--", "python", "-m", "jobs.train"],
}
VERSION_OF_FOLDER = "9.8.7"
STARTED_WITHIN = 120  # seconds
FINISHED_WITHIN = 900


def test_the_dockerfile_is_clean():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def engine():
    need_root()
    for tool in TOOLS:
        need(tool, PACKAGES)
    with tempfile.TemporaryDirectory(prefix="nn-") as folder:
        engine = Engine(Path(folder))
        try:
            engine.wait_until_ready()
            engine.build_base(BASE)
            engine.build(ROOT, IMAGE, BASE)
            yield engine
        finally:
            engine.end()


def until(true, explain):
    """Return once ``true()`` is; fail with what ``explain()`` says when that takes too long."""
    deadline = time.monotonic() + STARTED_WITHIN
    while not true():
        assert time.monotonic() < deadline, explain()
        time.sleep(1)


class Cluster:
    """Ray in two containers of one CPU each, joined by a network that leads nowhere else; they share their results."""

    def __init__(self, engine):
        self.engine = engine
        self.token = ["--env", "RAY_AUTH_MODE=token", "--env", f"RAY_AUTH_TOKEN={secrets.token_hex(32)}"]
        engine.output("podman", "network", "create", "--internal", "cluster")

    def start(self, name, options, *environment):
        """A node, started as KubeRay does it: by a shell, with the token in the environment."""
        words = ["podman", "run", "--detach", "--name", name, "--network", "cluster", "--volume", f"results:{RESULTS}"]
        self.engine.output(*words, *self.token, *environment, IMAGE, "bash", "-lc", f"ray start --block {options}")

    def logs(self):
        """The last words of every node."""
        names = self.engine.output("podman", "ps", "--all", "--format", "{{.Names}}").split()
        return "\n".join(f"{name}:\n{self.engine.call('podman', 'logs', name).stdout[-3000:]}" for name in names)

    def ask(self, *command, options=(), timeout=60):
        """Run a command in a container beside the two, as a RayJob's submitter is one."""
        address = ["--env", "RAY_API_SERVER_ADDRESS=http://head:8265"]
        words = ["podman", "run", "--rm", "--network", "cluster", *address, *options, IMAGE, *command]
        return self.engine.call(*words, timeout=timeout)

    def read_results(self):
        """The folder that the nodes share."""
        return Path(self.engine.output("podman", "volume", "inspect", "--format", "{{.Mountpoint}}", "results"))


@pytest.fixture(scope="module")
def cluster(engine):
    cluster = Cluster(engine)
    cluster.start("head", "--head --num-cpus 1 --dashboard-host 0.0.0.0")
    cluster.start("worker", "--address head:6379 --num-cpus 1")
    nodes = ["podman", "exec", "head", "ray", "list", "nodes", "--format", "json"]
    until(lambda: engine.call(*nodes).stdout.count('"ALIVE"') == 2, cluster.logs)
    return cluster


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of this folder with a version of its own, readable to everyone."""
    copy = tmp_path_factory.mktemp("submitted") / "folder"
    for part in ("jobs", "nn_train"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    start = copy / "nn_train" / "__init__.py"
    start.write_text(re.sub('(?<=__version__ = ").*(?=")', VERSION_OF_FOLDER, start.read_text()))
    return copy


def test_the_image_holds_what_runs_and_nothing_else(engine):
    said = engine.output("podman", "run", "--rm", IMAGE, "sh", "-c", "ls -A; ls -A /tmp; python -m pip list")
    assert {"jobs", "nn_train", "results"} <= set(said.split())
    assert not {"tests", ".git", ".venv"} & set(said.split())
    assert not re.search(r"^(pytest|ruff|mypy|moto) ", said, flags=re.MULTILINE)
    config = json.loads(engine.output("podman", "image", "inspect", IMAGE))[0]["Config"]
    assert config["Cmd"] == PIPELINE
    assert config["User"] == "1000:1000"


def test_the_image_runs_the_quick_pipeline_without_any_network(engine):
    said = engine.output("podman", "run", "--rm", "--network", "none", IMAGE, timeout=FINISHED_WITHIN)
    assert "2 workers of 1 CPU" in said
    assert "mnist_quick/report/report.html" in said.splitlines()[-1]


def test_two_containers_run_the_pipeline_as_one_cluster(cluster):
    """Training takes two CPUs and each container has one, so both hold a worker."""
    route = cluster.engine.output("podman", "exec", "head", "cat", "/proc/net/route")
    assert not re.search(r"^\S+\s+00000000\s", route, flags=re.MULTILINE), "there is a way out"
    command = ["ray", "job", "submit", "--", *PIPELINE, "--run.storage_path", RESULTS]
    done = cluster.ask(*command, options=cluster.token, timeout=FINISHED_WITHIN)
    assert done.returncode == 0, done.stdout[-5000:]
    assert f"{RESULTS}/mnist_quick/report/report.html" in done.stdout
    results = cluster.read_results()
    assert (results / "mnist_quick" / "report" / "report.html").stat().st_size > 100_000
    (run,) = results.glob("mnist_quick/**/cnn_seed0/metrics.jsonl")
    assert json.loads(run.read_text().splitlines()[-1])["world_size"] == 2


@pytest.mark.parametrize("way", SUBMISSIONS)
def test_the_code_of_a_submitted_folder_runs_instead_of_the_images(cluster, folder, way):
    words = [*SUBMISSIONS[way], "--name", way, "--train.epochs", "1", "--run.storage_path", RESULTS]
    options = [*cluster.token, "--volume", f"{folder}:/folder:ro", "--workdir", "/folder"]
    done = cluster.ask(*words, options=options, timeout=FINISHED_WITHIN)
    assert done.returncode == 0, done.stdout[-5000:]
    result = json.loads((cluster.read_results() / way / "result.json").read_text())
    assert result["versions"]["nn_train"] == VERSION_OF_FOLDER


def test_nothing_in_the_cluster_runs_as_root(cluster):
    for name in ("head", "worker"):
        owners = cluster.engine.call("podman", "exec", name, "sh", "-c", "stat -c %u /proc/[0-9]* 2> /dev/null").stdout
        assert len(owners.split()) > 5
        assert set(owners.split()) == {"1000"}
        assert cluster.engine.call("podman", "exec", name, "test", "-w", "nn_train/__init__.py").returncode == 1


def test_a_job_without_the_token_is_refused(cluster):
    done = cluster.ask("ray", "job", "submit", "--", "true", options=["--env", "RAY_AUTH_MODE=disabled"])
    assert done.returncode != 0
    assert "401" in done.stdout or "nauthorized" in done.stdout
