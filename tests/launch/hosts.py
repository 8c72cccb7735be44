"""Machines for the tests of launching: namespaces on one bridge that see the same disk.

Each host has processes, mounts, host name, shared memory, /tmp/ray, a home and an SSH server of its own. The subnet
exists in these namespaces only, without a route outside. Nothing has a name outside this process: the processes of a
host end with its first one, that one with ours (also when ours is killed), and mounts, cards and bridge with the last
process that uses them.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from namespaces import Alone
from tools import need, need_root

SUBNET = "10.209.77"
SPACES = ["--net", "--mount", "--uts", "--ipc", "--pid"]
ALONE = ["setpriv", "--pdeathsig", "KILL", "unshare", *SPACES, "--fork", "--kill-child", "--mount-proc"]
# $1: the host's folder. Its home is that of root here; the tests' own root keeps theirs.
INSIDE = r"""
set -e
mkdir -p /tmp/ray
mount -t tmpfs none /tmp/ray
mount -t tmpfs none /dev/shm
sed "s|^root:.*|root:x:0:0:root:$1/home:/bin/bash|" /etc/passwd > "$1/passwd"
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/../hosts" /etc/hosts
if [ -e /etc/resolv.conf ]; then mount --bind /dev/null /etc/resolv.conf; fi
mount -t tmpfs none /run
mkdir /run/sshd
hostname "$(basename "$1")"
ip link set lo up
"""
# What a host does for its whole life; `wait` also ends the processes that lost their parents.
SERVE = '/usr/sbin/sshd -D -e -f "$1/../sshd_config" -o PidFile="$1/ready" & wait'
SIT = 'touch "$1/ready"; sleep infinity & wait'


class Host(Alone):
    """One machine; the one without an SSH server is that of the person who launches.

    Attributes:
        name, address: in the subnet.
        folder: what is its own on the disk; its home lies in it.
    """

    def __init__(self, folder: Path, name: str, address: str, serves: bool) -> None:
        self.name, self.address, self.folder, self.home = name, address, folder / name, folder / name / "home"
        self.home.mkdir(parents=True)
        script = INSIDE + (SERVE if serves else SIT)
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [*ALONE, "sh", "-c", script, "host", str(self.folder)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
        }

    def words(self, *command: str) -> list[str]:
        """The command that runs ``command`` on the host."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return ["nsenter", f"--target={self.init}", *SPACES, f"--wdns={Path.cwd()}", "env", "-i", *variables, *command]

    def run(self, *command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command on the host."""
        return subprocess.run(self.words(*command), capture_output=True, text=True, timeout=timeout)

    def output(self, *command: str) -> str:
        """What a command says that has to succeed."""
        done = self.run(*command)
        assert done.returncode == 0, f"{self.name}: {shlex.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def processes(self) -> dict[int, str]:
        """The commands of the processes here, without the system's own, by their ids as seen from outside."""
        own = os.readlink(f"/proc/{self.init}/ns/pid")
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended
                if os.readlink(folder / "ns" / "pid") == own and int(folder.name) != self.init:
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ").strip()
        return {
            pid: text
            for pid, text in found.items()
            if text and not text.startswith(("sshd", "/usr/sbin/sshd", "sleep"))
        }

    def kill_everything(self) -> None:
        """As a machine that loses its power and comes back."""
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def add_private_card(self) -> None:
        """A second network card with the default route, on a network on which no other host is."""
        self.output("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "away")
        self.output("ip", "addr", "add", "192.168.77.1/24", "dev", "eth1")
        for card in ("eth1", "away"):
            self.output("ip", "link", "set", card, "up")
        self.output("ip", "route", "add", "default", "dev", "eth1")

    def admit_only(self, ports: str) -> None:
        """A firewall: from other machines, connections to these ports and answers come in, nothing else.

        Args:
            ports: as nft writes a set, such as ``22, 6379, 20000-20100``.
        """
        rules = f"""
        table inet host {{
            chain input {{
                type filter hook input priority 0; policy drop;
                iif lo accept
                ct state established,related accept
                tcp dport {{ {ports} }} accept
            }}
        }}
        """
        subprocess.run(self.words("nft", "-f", "-"), input=rules, text=True, check=True)


@contextlib.contextmanager
def hosts(folder: Path, count: int = 3) -> Iterator[tuple[Host, list[Host]]]:
    """A person's machine, whose key all hosts accept, and ``count`` hosts: ``SUBNET``.1, .2, …

    Args:
        folder: an empty one, for what the hosts have on the disk.
    """
    need_root()
    need("sshd", "openssh-server")
    for tool, package in (("ssh", "openssh-client"), ("rsync", "rsync"), ("ip", "iproute2"), ("setpriv", "util-linux")):
        need(tool, package)
    names = {"person": f"{SUBNET}.254", **{f"host{number}": f"{SUBNET}.{number}" for number in range(1, count + 1)}}
    lines = [f"{address} {name}" for name, address in names.items()]
    (folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
    made: list[Host] = []
    try:
        write_keys(folder)
        for name, address in names.items():
            made.append(Host(folder, name, address, serves=name != "person"))
        for host in made:
            host.wait_until_ready()
        connect(made[0], made[1:])
        yield made[0], made[1:]
    finally:
        for host in made:
            host.end()


def write_keys(folder: Path) -> None:
    """The person's key in ``folder/key``, the hosts' own, and the settings of their SSH servers."""
    for name in ("key", "host_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    (folder / "sshd_config").write_text(
        f"HostKey {folder}/host_key\nAuthorizedKeysFile {folder}/key.pub\nPermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\nStrictModes no\nUsePAM no\nMaxStartups 100\n"
    )


def connect(person: Host, others: list[Host]) -> None:
    """Give every host a card on a bridge, which lies with the person."""
    person.output("ip", "link", "add", "bridge", "type", "bridge")
    person.output("ip", "addr", "add", f"{person.address}/24", "dev", "bridge")
    person.output("ip", "link", "set", "bridge", "up")
    for host in others:
        # By its process id as it is seen from here, so without the person's process ids.
        command = ["ip", "link", "add", host.name, "type", "veth", "peer", "name", "eth0", "netns", str(host.init)]
        subprocess.run(["nsenter", f"--target={person.init}", "--net", *command], check=True)
        person.output("ip", "link", "set", host.name, "master", "bridge", "up")
        host.output("ip", "addr", "add", f"{host.address}/24", "dev", "eth0")
        host.output("ip", "link", "set", "eth0", "up")
