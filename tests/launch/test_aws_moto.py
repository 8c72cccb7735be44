"""``ray up cluster/aws.yaml``, the whole way: on a simulated AWS whose machines are network namespaces.

Only the setup commands are others, since no package index is there; the image is not looked at.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
import pytest
import yaml
from simulated_aws import GATEWAY, REGION, Island, Service
from tools import need, need_root

pytestmark = pytest.mark.launch
ROOT = Path(__file__).parents[2]
WITHIN = 240  # seconds
TOOLS = {"sshd": "openssh-server", "ssh": "openssh-client", "rsync": "rsync", "ip": "iproute2", "ps": "procps"}
DASHBOARD = "http://localhost:8265"
WHERE = """
import ray
@ray.remote(num_gpus=1)
class Work:
    def where(self):
        return ray.util.get_node_ip_address()
ray.init(log_to_driver=False)
work = [Work.remote() for _ in range(GPUS)]
print("ran on", *ray.get([one.where.remote() for one in work]))
"""


LEFT = """
import time, ray
ray.init(log_to_driver=False)
give_up = time.monotonic() + 60
while time.monotonic() < give_up:
    gone = [node for node in ray.nodes() if node["NodeManagerAddress"] == "MACHINE" and not node["Alive"]]
    if gone:
        print("gone:", gone[0]["DeathReasonMessage"])
        break
    time.sleep(0.5)
"""


class Launcher:
    """The person who launches: a machine on the island with the repository, AWS's keys, and the file filled in."""

    def __init__(self, folder):
        self.island = Island(folder)
        self.aws = Service(self.island)
        self.servers = [self.aws.serve(self.island.listen(80))]
        self.file = folder / "aws.yaml"
        self.environment = {
            "HOME": "/home/launcher",
            "PATH": f"{sys.prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": f"http://{GATEWAY}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "RAY_AUTH_MODE": "token",
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": ".",
        }

    def words(self, *command):
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return self.island.enter("env", "-i", *variables, *command)

    def run(self, *command):
        to = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(self.words(*command), **to, text=True, timeout=WITHIN)

    def output(self, *command):
        done = self.run(*command)
        assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout[-5000:]}\n{self.logs()}"
        return done.stdout

    def open_tunnel(self):
        """`ray dashboard`, and wait until the job server is there."""
        command = self.words("ray", "dashboard", str(self.file))
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        self.tunnel = subprocess.Popen(command, **quiet)
        give_up = time.monotonic() + WITHIN
        while self.run("ray", "job", "list", "--address", DASHBOARD).returncode:
            assert time.monotonic() < give_up, "no tunnel to the head"

    def logs(self):
        """What the autoscaler says, once there is a head."""
        said = self.run("ray", "exec", str(self.file), "tail -n 60 /tmp/ray/session_latest/logs/monitor*")
        return said.stdout[-8000:]

    def links(self):
        """The network links of the island, whose machines have one each."""
        return {line.split()[0].split("@")[0] for line in self.output("ip", "-brief", "link").splitlines()}

    def serve_here(self):
        """Let the tests, which are not on the island, ask the same AWS."""
        self.servers.append(self.aws.serve(socket.create_server(("127.0.0.1", 0))))

    def client(self, service):
        """AWS, as the tests ask it."""
        port = self.servers[-1].socket.getsockname()[1]
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        return boto3.client(service, region_name=REGION, endpoint_url=f"http://127.0.0.1:{port}", **keys)

    def instances(self):
        """Those that are not ended, by their private addresses."""
        reservations = self.client("ec2").describe_instances()["Reservations"]
        found = [instance for reservation in reservations for instance in reservation["Instances"]]
        return {one["PrivateIpAddress"]: one for one in found if one["State"]["Name"] != "terminated"}

    def job(self, gpus):
        """Run a job of that many actors at once that need a GPU each; the machines that they ran on."""
        return set(self.said_by(WHERE.replace("GPUS", str(gpus)), "ran on ").split())

    def said_by(self, script, begin):
        """What a job says after ``begin``."""
        said = self.output("ray", "job", "submit", "--address", DASHBOARD, "--", "python", "-c", script)
        (line,) = [line for line in said.splitlines() if line.startswith(begin)]
        return line.removeprefix(begin)

    def end(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
        self.aws.end()
        self.island.end()


def prepare(launcher):
    """What docs/clouds.md has a person make before: the roles and the security group."""
    iam, ec2 = launcher.client("iam"), launcher.client("ec2")
    for name in ("nn-train-head", "nn-train-worker"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    group = ec2.create_security_group(GroupName="nn-train", Description="nn-train")["GroupId"]
    text = (ROOT / "cluster" / "aws.yaml").read_text()
    assert text.count("sg-00000000000000000") == 1
    config = yaml.safe_load(text.replace("sg-00000000000000000", group))
    *_, path = config["setup_commands"]  # which puts the environment on the path of a login shell
    assert "/etc/profile.d/" in path
    config["setup_commands"] = [f"ln -sfn {sys.prefix} ~/venv", path.replace("sudo ", "")]
    config["head_setup_commands"] = config["worker_setup_commands"] = []
    launcher.file.write_text(yaml.safe_dump(config, sort_keys=False))


@pytest.fixture(scope="module")
def launcher():
    need_root()
    for tool, package in TOOLS.items():
        need(tool, package)
    folder = Path(tempfile.mkdtemp(prefix="nn-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        launcher = Launcher(folder)
        stack.callback(launcher.end)
        assert launcher.links() == {"lo", "bridge"}, "there is a way out, and moto makes up public addresses"
        launcher.serve_here()
        prepare(launcher)
        launcher.output("ray", "get-auth-token", "--generate")
        launcher.output("ray", "up", "-y", str(launcher.file))
        launcher.open_tunnel()
        yield launcher


def test_only_the_head_runs_while_there_is_no_work(launcher):
    (head,) = launcher.instances().values()
    assert head["InstanceType"] == "m7i.large"
    assert head["IamInstanceProfile"]["Arn"].endswith("/nn-train-head")
    assert launcher.aws.asked == [("on-demand", True)]


def test_a_job_that_needs_a_gpu_gets_a_spot_machine(launcher):
    launcher.aws.spot_left = 1
    (ran_on,) = launcher.job(gpus=1)
    machine = launcher.instances()[ran_on]
    assert machine["InstanceLifecycle"] == "spot"
    assert machine["InstanceType"] == "g6.xlarge"
    assert machine["IamInstanceProfile"]["Arn"].endswith("/nn-train-worker")
    assert launcher.aws.asked[1:] == [("spot", True)]


def test_without_spot_machines_the_job_gets_one_at_the_usual_price(launcher):
    launcher.aws.spot_left = 0
    before = launcher.instances()
    asked = len(launcher.aws.asked)
    ran_on = launcher.job(gpus=len(before))  # one more than there are
    (new,) = ran_on - before.keys()
    assert "InstanceLifecycle" not in launcher.instances()[new]
    assert launcher.aws.asked[-1] == ("on-demand", True)
    assert set(launcher.aws.asked[asked:-1]) == {("spot", False)}


def test_the_machines_need_no_more_rights_than_their_roles_have(launcher):
    launcher.job(gpus=1)  # so that a worker has been there
    (head,) = [address for address, one in launcher.instances().items() if one["InstanceType"] == "m7i.large"]
    called = {name for name in launcher.aws.actions[head] if not name.startswith("Describe")}
    assert "RunInstances" in called
    assert called <= {"RunInstances", "TerminateInstances", "CreateTags"}  # those of docs/clouds.md
    assert not [address for address in launcher.aws.actions if address in launcher.instances().keys() - {head}]


def test_a_machine_that_is_told_its_end_tells_ray(launcher):
    (machine,) = launcher.job(gpus=1)
    launcher.aws.taken_back.add(machine)
    # It has no work, so that Ray ends it at once; a training would keep a checkpoint first.
    assert "the spot machine is taken back" in launcher.said_by(LEFT.replace("MACHINE", machine), "gone:")


def test_the_job_server_wants_the_token(launcher):
    listed = ["ray", "job", "list", "--address", DASHBOARD]
    assert launcher.run(*listed).returncode == 0
    refused = launcher.run("env", "RAY_AUTH_MODE=disabled", *listed)
    assert refused.returncode != 0
    assert "token authentication is enabled" in refused.stdout


def test_down_ends_every_machine_and_process(launcher):
    launcher.output("ray", "down", "-y", str(launcher.file))
    assert launcher.instances() == {}
    launcher.tunnel.wait(timeout=60)  # it was to the head
    give_up = time.monotonic() + 60
    while launcher.island.processes() and time.monotonic() < give_up:  # SSH lets its connections wait for 10 s
        time.sleep(0.5)
    assert launcher.island.processes() == []
