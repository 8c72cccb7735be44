"""``cluster/onprem.yaml`` and ``python -m cluster.onprem`` on three hosts of their own, from up to down.

Every host has two network cards, and the default route leads over the one on which it is alone. A firewall on each lets
in what docs/launch.md names and nothing else. The tests share the cluster and stand in the order of its life.
"""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from hosts import hosts
from tools import need

from cluster.onprem_machines import read_machines
from nn_train.errors import RequestError

ROOT = Path(__file__).parents[2]
PORTS = "22, 6379-6382, 10002-19999, 52365"  # docs/launch.md, "Over SSH"
PORT_RANGE = "20000-20100"
TIMEOUT = 400  # seconds
DASHBOARD = "http://localhost:8265"

pytestmark = pytest.mark.launch


class Site:
    """The hosts, and the cluster file with their addresses.

    Attributes:
        person: the machine that launches.
        machines: the head and two workers.
        config, file: the cluster file.
        shared: a folder that all see.
    """

    def __init__(self, folder, person, machines):
        self.folder, self.person, self.machines = folder, person, machines
        self.shared = folder / "shared"
        self.shared.mkdir()
        self.config = yaml.safe_load((ROOT / "cluster" / "onprem.yaml").read_text())
        head, *workers = (machine.address for machine in machines)
        self.config["provider"].update(head_ip=head, worker_ips=workers)
        self.config["auth"] = {"ssh_user": "root", "ssh_private_key": str(folder / "key")}
        # Instead of the two commands that install packages: the environment of the tests, which the hosts see as well.
        make, install, path = self.config["setup_commands"]
        assert "-m venv" in make
        assert "pip install" in install
        self.config["setup_commands"] = [f"ln -sfn {sys.prefix} ~/venv", path]
        self.file = self.write("onprem.yaml", self.config)

    def write(self, name, config):
        (self.folder / name).write_text(yaml.safe_dump(config))
        return self.folder / name

    def onprem(self, command, file=None, *words):
        program = [sys.executable, "-m", "cluster.onprem", command, str(file or self.file), *words]
        return self.person.run(*program, timeout=TIMEOUT)

    def submit(self, *words, **environment):
        variables = {"RAY_AUTH_MODE": "token", "RAY_API_SERVER_ADDRESS": DASHBOARD, **environment}
        job = [f"{name}={value}" for name, value in variables.items()]
        job += ["ray", "job", "submit", "--working-dir", ".", "--", "python", "-m", *words]
        # A worker takes a whole machine, so that no two share one.
        job += ["--scaling.cpus_per_worker", str(cpus()), "--run.storage_path", str(self.shared)]
        return self.person.run("env", *job, timeout=TIMEOUT)

    def with_workers(self):
        """The machines on which workers of a training live."""
        return [one for one in self.machines if any("RayTrainWorker" in text for text in one.processes().values())]


def cpus():
    """What Ray counts on each host."""
    from ray._private.utils import get_num_cpus

    return get_num_cpus()


def lines_of(file):
    return file.read_text().count("\n") if file.exists() else 0


def wait_until(condition, seconds=120):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.2)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    need("nft", "nftables")
    folder = tmp_path_factory.mktemp("site")
    with hosts(folder) as (person, machines):
        for machine in machines:
            machine.add_private_card()
            machine.admit_only(f"{PORTS}, {PORT_RANGE}")
        yield Site(folder, person, machines)


@pytest.fixture(scope="module")
def cluster(site):
    """The site with Ray on all machines, and the tunnel to the job server."""
    up = site.onprem("up")
    assert up.returncode == 0, up.stdout + up.stderr
    command = site.person.words("env", "RAY_AUTH_MODE=token", "ray", "dashboard", str(site.file))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tunnel:
        wait_until(lambda: ":8265 " in site.person.output("ss", "-Hltn"))
        yield site
        site.person.kill_everything()
        tunnel.wait()


def test_down_is_harmless_where_nothing_is_up(site):
    down = site.onprem("down")
    assert down.returncode == 0, down.stderr
    assert down.stdout.count("no Ray is left") == 3
    status = site.onprem("status")
    assert status.returncode == 1
    assert status.stdout.count("not joined") == 3
    assert status.stdout.endswith(f"nothing is up; start with: python -m cluster.onprem up {site.file}\n")


def test_a_machine_that_cannot_be_reached_is_named_before_anything_is_started(site):
    config = copy.deepcopy(site.config)
    config["provider"]["worker_ips"].append("10.209.77.99")
    file = site.write("unreachable.yaml", config)
    up = site.onprem("up", file)
    assert up.returncode == 1
    assert re.fullmatch(
        rf"error: nothing was started; 10.209.77.99: cannot be reached over SSH: .+\nmend it, or .* {file}\n", up.stderr
    )
    assert not any(machine.processes() for machine in site.machines)
    down = site.onprem("down", file)
    assert down.returncode == 1
    assert "10.209.77.1: no Ray is left" in down.stdout
    assert "10.209.77.99: NOT ENDED" in down.stdout
    assert "10.209.77.99: cannot be reached over SSH" in down.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"provider": {"type": "aws"}}, "only provider.type local"),
        ({"docker": {"image": "ray"}}, "without docker"),
        ({"provider": {"type": "local", "head_ip": "10.0.0.1"}}, "provider.worker_ips is missing"),
        ({"auth": None}, "auth.ssh_user is missing"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, change, message):
    config = yaml.safe_load((ROOT / "cluster" / "onprem.yaml").read_text())
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**config, **change}))
    with pytest.raises(RequestError, match=rf"other.yaml: .*{message}"):
        read_machines(tmp_path / "other.yaml")


def test_all_machines_come_up_and_only_with_the_token(cluster):
    status = cluster.onprem("status")
    assert status.returncode == 0, status.stdout
    assert re.findall(r"(\S+) +(head|worker) +joined", status.stdout) == [
        (machine.address, "worker" if rank else "head") for rank, machine in enumerate(cluster.machines)
    ]
    again = cluster.onprem("up")
    assert again.returncode == 2
    assert "3 machines are up already" in again.stderr
    for environment in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": "a" * 64}):
        refused = cluster.submit("jobs.doctor", **environment)
        assert refused.returncode != 0
        assert re.search(r"AuthenticationError|Unauthorized|401|403", refused.stdout + refused.stderr)


def test_the_firewall_admits_the_port_range_and_no_other(cluster):
    inside = cluster.submit("jobs.doctor", "--scaling.port_range", PORT_RANGE)
    assert re.search(r"nodes +ok +3 nodes answer", inside.stdout), inside.stdout + inside.stderr
    assert re.search(r"ports +ok +open between all nodes \(9 connections\)", inside.stdout), inside.stdout
    outside = cluster.submit("jobs.doctor")
    assert re.search(r"ports +failed .*timed out", outside.stdout)
    assert outside.returncode == 1


def test_training_on_two_machines_goes_on_when_one_of_them_is_lost(cluster):
    """Behind the firewall, by ``scaling.port_range``; the third machine takes the place of the second."""
    done = []
    words = ["jobs.train", "--name", "lost", "--train.epochs", "8", "--run.loggers", "none"]
    job = threading.Thread(target=lambda: done.append(cluster.submit(*words, "--scaling.port_range", PORT_RANGE)))
    job.start()
    metrics = cluster.shared / "lost" / "metrics.jsonl"
    # After two epochs there is a checkpoint for certain: a line is written before the checkpoint of its epoch.
    wait_until(lambda: lines_of(metrics) >= 2 or not job.is_alive())
    before = cluster.with_workers()
    assert len(before) == 2, done
    (spare,) = (machine for machine in cluster.machines if machine not in before)
    head = cluster.machines[0]
    lost = next(machine for machine in before if machine is not head)
    lost.kill_everything()
    if head in before:  # otherwise no worker needs to move: the head takes the place of the lost machine
        wait_until(lambda: spare in cluster.with_workers() or not job.is_alive())
    job.join()
    (job,) = done
    assert job.returncode == 0, job.stdout + job.stderr
    assert re.search(r"was lost: .*; restarting \(1 of 3\)", job.stdout), job.stdout
    assert re.search(r"^continuing after epoch [1-7]", job.stdout, re.MULTILINE), job.stdout
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [(row["epoch"], row["world_size"]) for row in rows] == [(epoch, 2) for epoch in range(1, 9)]
    assert json.loads((cluster.shared / "lost" / "result.json").read_text())["status"] == "finished"
    # The head starts Ray again where it was lost.
    wait_until(lambda: cluster.onprem("status").returncode == 0)


def test_down_leaves_no_process_on_any_machine(cluster):
    cluster.person.kill_everything()  # the tunnel
    down = cluster.onprem("down")
    assert down.returncode == 0, down.stderr
    assert down.stdout.count("no Ray is left") == 3
    assert {machine.name: machine.processes() for machine in cluster.machines} == {
        machine.name: {} for machine in cluster.machines
    }


def test_a_machine_that_does_not_join_is_named(site):
    config = copy.deepcopy(site.config)
    fail = f"test $(hostname) != {site.machines[2].name} || {{ echo the disk is full; exit 1; }}"
    config["worker_setup_commands"] = [fail]
    file = site.write("two.yaml", config)
    up = site.onprem("up", file, "--within", "15")
    try:
        assert up.returncode == 1
        assert "10.209.77.2: joined" in up.stdout
        assert "error: 10.209.77.3 did not join within 15 s" in up.stderr
        assert "10.209.77.2 did not join" not in up.stderr
        assert "the disk is full" in up.stderr
    finally:
        down = site.onprem("down", file)
    assert down.returncode == 0, down.stderr
    assert not any(machine.processes() for machine in site.machines)


def test_interrupted_up_says_how_to_end_what_was_started(site):
    command = site.person.words(sys.executable, "-m", "cluster.onprem", "up", str(site.file))
    with subprocess.Popen(
        command,
        # A shell that starts tests in the background lets them ignore this signal; it must not be inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
    ) as up:
        assert "installing and starting Ray" in up.stdout.readline()
        wait_until(lambda: site.machines[0].processes())
        for pid, text in site.person.processes().items():
            if "-m cluster.onprem" in text or "ray.scripts.scripts up" in text:  # as Ctrl-C in a terminal
                os.kill(pid, signal.SIGINT)
        said = up.communicate(timeout=60)[1]
    assert up.returncode == 130
    assert f"End what was started with: python -m cluster.onprem down {site.file}" in said
    assert site.onprem("down").returncode == 0
    assert not any(machine.processes() for machine in site.machines)
