"""AWS on this machine: moto answers, and each machine that it starts is a network namespace with an SSH server.

All of it lives in one network namespace without a way out (``Island``), also what calls AWS: moto makes up public
addresses, which are somebody's in the world outside. The island ends with the process that made it, and everything in
it ends with the island.
"""

from __future__ import annotations

import ctypes
import io
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

ROOT = Path(__file__).parents[2]
REGION = "us-west-2"
GATEWAY = "172.31.255.254"  # the island itself, in the network of moto's machines
METADATA = "169.254.169.254"  # where a machine of AWS asks for the credentials of its role
CLONE_NEWNET = 0x40000000

# Folders that are empty to begin with, and what of them is there all the same; for the island and every machine.
PRIVATE = """
mount -t tmpfs tmpfs /mnt
for path in $SHOWN; do mkdir -p /mnt$path; mount --rbind $path /mnt$path; done
for path in /tmp /home /run /dev/shm /etc/profile.d $HIDDEN; do mkdir -p $path; mount -t tmpfs tmpfs $path; done
for path in $SHOWN; do mkdir -p $path; mount --rbind /mnt$path $path; done
"""
ISLAND = f"""
set -e
{PRIVATE}
mkdir -p /home/launcher
for name in passwd shadow; do mount --bind $SCRATCH/$name /etc/$name; done
ip link add bridge type bridge
ip address add {GATEWAY}/16 dev bridge
ip address add {METADATA}/32 dev bridge
for link in lo bridge; do ip link set $link up; done
echo ready
exec cat # until this test ends
"""
LINK = """
set -e
ip netns add $NAME
ip link add $CARD type veth peer name eth0 netns $NAME
ip link set $CARD master bridge up
ip -netns $NAME address add $PRIVATE_IP/16 dev eth0
ip -netns $NAME address add $PUBLIC_IP/32 dev eth0
for link in lo eth0; do ip -netns $NAME link set $link up; done
ip -netns $NAME route add METADATA dev eth0
ip route add $PUBLIC_IP dev bridge
exec ip netns exec $NAME unshare --mount --pid --uts --ipc --fork --kill-child --mount-proc sh -c "$MACHINE"
""".replace("METADATA", METADATA)
MACHINE = f"""
set -e
{PRIVATE}
hostname $NAME
mount --bind $SCRATCH/$NAME.hosts /etc/hosts
mkdir -p /run/sshd /home/ubuntu/.ssh
cp $SCRATCH/$NAME.key /home/ubuntu/.ssh/authorized_keys
/usr/sbin/sshd -D -f $SCRATCH/sshd_config -E $SCRATCH/$NAME.log &
cat # the first process of a machine has to stay, and to see to those whose parents ended
"""
SSHD = f"""
HostKey SCRATCH/host_key
PidFile none
StrictModes no
PermitRootLogin yes
MaxStartups 100
SetEnv AWS_ENDPOINT_URL=http://{GATEWAY} RAY_USAGE_STATS_ENABLED=0
"""


class Island:
    """A network namespace whose only link is a bridge, with processes, /tmp and users of its own. As root."""

    def __init__(self, scratch: Path) -> None:
        """Make it, with a user ``ubuntu`` who may do everything, as on a machine of AWS by sudo."""
        self.scratch = scratch
        for name, line in (("passwd", "ubuntu:x:0:0::/home/ubuntu:/bin/bash"), ("shadow", "ubuntu:*:20000::::::")):
            (scratch / name).write_text(f"{line}\n" + Path("/etc", name).read_text())  # root's home is the first's
        (scratch / "sshd_config").write_text(SSHD.replace("SCRATCH", str(scratch)))
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", scratch / "host_key"], check=True)
        unshare = ["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        variables = {"SCRATCH": str(scratch), "SHOWN": shown(scratch, ROOT), "HIDDEN": ""}
        self.process = start([*unshare, "sh", "-c", ISLAND], variables)
        if self.process.stdout.readline() != b"ready\n":
            raise AssertionError(f"no network namespace: {self.process.communicate()[0].decode()}")
        (self.pid,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()

    def enter(self, *words: str) -> list[str]:
        """The command that runs a command in it."""
        return ["nsenter", "--target", self.pid, "--net", "--mount", "--pid", "--ipc", f"--wd={ROOT}", *words]

    def run(self, *words: str, timeout: float = 60) -> str:
        """What a command says in it."""
        done = subprocess.run(self.enter(*words), capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def listen(self, port: int) -> socket.socket:
        """A socket of this process that listens in it, on all addresses."""
        made = []

        def make() -> None:  # only this thread moves there, and ends
            with open(f"/proc/{self.pid}/ns/net") as namespace:
                assert ctypes.CDLL(None).setns(namespace.fileno(), CLONE_NEWNET) == 0
            made.append(socket.create_server(("0.0.0.0", port), backlog=128))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]

    def processes(self) -> list[str]:
        """The command lines of all that runs in it and on its machines."""
        listed = self.run("ps", "-A", "--no-headers", "-o", "pid,stat,args").splitlines()
        parts = [line.split(maxsplit=2) for line in listed]
        return [line for pid, state, line in parts if pid != "1" and state[0] != "Z" and not line.startswith("ps -A")]

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)


class Machine:
    """A host on the island that stands for one instance: sshd, no files but the tools', ended by ``end``."""

    def __init__(self, island: Island, instance: Any, public_key: str) -> None:
        self.island, self.name = island, "ip-" + instance.private_ip.replace(".", "-")
        (island.scratch / f"{self.name}.hosts").write_text(f"127.0.0.1 localhost\n{instance.private_ip} {self.name}\n")
        (island.scratch / f"{self.name}.key").write_text(public_key)
        variables = {"NAME": self.name, "PRIVATE_IP": instance.private_ip, "PUBLIC_IP": instance.public_ip}
        variables |= {"SCRATCH": str(island.scratch), "MACHINE": MACHINE, "CARD": instance.id[:14]}
        variables |= {"SHOWN": shown(island.scratch, Path(sys.prefix)), "HIDDEN": str(ROOT)}
        self.process = start(island.enter("sh", "-c", LINK), variables)

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.island.run("ip", "netns", "delete", self.name)


class Service:
    """The web service of AWS, whose machines live while their instances do.

    Attributes:
        spot_left: how many machines are still to be had at the spot price.
        asked: (market, answered) of each RunInstances, in their order.
        actions: what each address called.
        taken_back: the addresses of the machines that are told their end.
        machines: by the ids of their instances.
    """

    def __init__(self, island: Island) -> None:
        self.island, self.application = island, DomainDispatcherApplication(create_backend_app)
        self.spot_left = 0
        self.asked: list[tuple[str, bool]] = []
        self.actions: dict[str, set[str]] = defaultdict(set)
        self.taken_back: set[str] = set()
        self.machines: dict[str, Machine] = {}
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] in NOTICE:
            return self.notice(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        request = {key: values[0] for key, values in parse_qs(body.decode(errors="replace")).items()}
        if "Action" in request:
            self.actions[environ["REMOTE_ADDR"]].add(request["Action"])
        if request.get("Action") != "RunInstances" or self.granted(request):
            answer = list(self.application(environ, start_response))
        else:
            start_response("500 Internal Server Error", [("Content-Type", "text/xml")])
            answer = [NO_CAPACITY]
        with self.lock:
            self.follow()
        return answer

    def notice(self, environ: dict[str, Any], start_response: Any) -> Any:
        """What a machine is told of its end, to which moto has no answer."""
        told = environ["REMOTE_ADDR"] in self.taken_back or environ["REQUEST_METHOD"] == "PUT"
        start_response("200 OK" if told else "404 Not Found", [("Content-Type", "text/plain")])
        return [NOTICE[environ["PATH_INFO"]]] if told else []

    def granted(self, request: dict[str, str]) -> bool:
        """Whether a request for machines is met."""
        spot = request.get("InstanceMarketOptions.MarketType") == "spot"
        granted = not spot or self.spot_left >= int(request["MaxCount"])
        self.spot_left -= int(request["MaxCount"]) if spot and granted else 0
        self.asked.append(("spot" if spot else "on-demand", granted))
        return granted

    def follow(self) -> None:
        """Start and end machines as moto has it."""
        backend = ec2_backends[DEFAULT_ACCOUNT_ID][REGION]
        running = {instance.id: instance for instance in backend.all_running_instances()}
        for name in running.keys() - self.machines.keys():
            key = backend.key_pairs[running[name].key_name].public_key
            self.machines[name] = Machine(self.island, running[name], key)
        for name in self.machines.keys() - running.keys():
            self.machines.pop(name).end()

    def serve(self, where: socket.socket) -> BaseWSGIServer:
        """Answer on a socket that listens, in threads."""
        server = make_server(*where.getsockname(), self, threaded=True, fd=where.fileno())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def end(self) -> None:
        for machine in self.machines.values():
            machine.end()


NOTICE = {
    "/latest/api/token": b"token",
    "/latest/meta-data/spot/instance-action": b'{"action": "terminate", "time": "2030-01-01T00:00:00Z"}',
}
NO_CAPACITY = (
    b"<Response><Errors><Error><Code>InsufficientInstanceCapacity</Code><Message>There is no Spot capacity available "
    b"that matches your request.</Message></Error></Errors><RequestID>1</RequestID></Response>"
)


def start(command: Sequence[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process that ends when its standard input is closed."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **variables}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)


def shown(*paths: Path) -> str:
    """What a namespace sees of this machine's files in folders that are otherwise empty: these, and Python itself."""
    return " ".join(str(path) for path in (*paths, Path(sys.prefix), Path(sys.base_prefix)))
