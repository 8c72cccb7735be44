"""Several hosts as far as the network goes: namespaces on one switch whose speed can be set. Needs root and iproute2.

The processes on all of them share the cores, the disk and the memory. Nothing has a name outside: links and namespaces
end with the processes in them, and those with this one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import delay_line

CARD, BRIDGE = "eth0", "bridge0"
SUBNET = "10.209.78.{}"
MTU = 65_535  # bytes: packets as large as those that cards split by themselves
BURST = 70_000  # bytes that pass at once: hardly more than the largest packet, or whole messages would pass unshaped
QUEUE = 8_000_000  # bytes


@dataclass(frozen=True)
class Host:
    """A network of its own.

    Attributes:
        address: of its cards.
        process: the id of the process that keeps it.
    """

    address: str
    process: int

    def command(self, *words: str) -> list[str]:
        """The command that runs ``words`` there."""
        return ["nsenter", f"--target={self.process}", "--net", *words]

    def run(self, *words: str) -> None:
        """Run a command there. Raises CalledProcessError with what it printed."""
        subprocess.run(self.command(*words), check=True, capture_output=True, text=True)


class Switch:
    """What joins the hosts.

    Attributes:
        hosts: each reaches every other.
        delay: milliseconds on the way from host to host, where the speed is limited.
        has_netem: whether the kernel itself delays; otherwise a process does, ``benchmarks.delay_line``.
    """

    def __init__(self, hosts: Sequence[Host], delay: float, has_netem: bool) -> None:
        self.hosts, self.delay, self.has_netem = hosts, delay, has_netem

    def limit(self, gigabits: float | None) -> None:
        """Set how much a second each host may send; None: as fast as the kernel, without delay.

        Workers receive from one other at a time, so what they receive has the same limit.
        """
        for host in self.hosts:
            slow = CARD if self.has_netem else delay_line.NAME
            with contextlib.suppress(subprocess.CalledProcessError):  # there was none
                host.run("tc", "qdisc", "del", "dev", slow, "root")
            way = CARD if gigabits is None else slow
            host.run("ip", "route", "replace", SUBNET.format("0/24"), "dev", way, "src", host.address)
            if gigabits is None:
                continue
            rate, set_root = f"{gigabits * 1000:.0f}mbit", ["tc", "qdisc", "add", "dev", slow, "root"]
            if self.has_netem:
                host.run(*set_root, "netem", "delay", f"{self.delay}ms", "rate", rate, "limit", "100000")
            else:
                host.run(*set_root, "tbf", "rate", rate, "burst", str(BURST), "limit", str(QUEUE))


@contextlib.contextmanager
def joined_hosts(count: int, delay: float) -> Iterator[Switch]:
    """``count`` new hosts, joined as fast as the kernel can until that is limited. ``delay``: as of ``Switch``."""
    if os.geteuid() != 0:
        raise SystemExit("network namespaces need root: run it as root")
    with contextlib.ExitStack() as stack:
        bridge, *hosts = [stack.enter_context(new_host(SUBNET.format(number))) for number in range(count + 1)]
        bridge.run("ip", "link", "add", BRIDGE, "type", "bridge")
        bridge.run("ip", "link", "set", BRIDGE, "up")
        for number, host in enumerate(hosts):
            port = f"port{number}"
            host.run("ip", "link", "add", CARD, "type", "veth", "peer", "name", port, "netns", str(bridge.process))
            bridge.run("ip", "link", "set", port, "master", BRIDGE, "up", "mtu", str(MTU))
            host.run("ip", "addr", "add", f"{host.address}/32", "dev", CARD)
            for card in (CARD, "lo"):
                host.run("ip", "link", "set", card, "up", "mtu", str(MTU))
        has_netem = can_delay(hosts[0])
        if not has_netem:
            stack.enter_context(delayed(hosts, delay))
        switch = Switch(hosts, delay, has_netem)
        switch.limit(None)
        yield switch


@contextlib.contextmanager
def new_host(address: str) -> Iterator[Host]:
    """A network without any card, which ends with this process."""
    keep = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"]
    with subprocess.Popen(keep) as keeper:
        try:
            own = os.readlink("/proc/self/ns/net")
            while os.readlink(f"/proc/{keeper.pid}/ns/net") == own:
                time.sleep(0.01)
            yield Host(address, keeper.pid)
        finally:
            keeper.kill()


def can_delay(host: Host) -> bool:
    """Whether the kernel has netem."""
    try:
        host.run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
    except subprocess.CalledProcessError:
        return False
    host.run("tc", "qdisc", "del", "dev", "lo", "root")
    return True


@contextlib.contextmanager
def delayed(hosts: Sequence[Host], delay: float) -> Iterator[None]:
    """A second way between the hosts, on which packets take ``delay`` milliseconds."""
    module = [sys.executable, "-m", delay_line.__name__, str(delay)]
    places = [f"{host.process}:{host.address}" for host in hosts]
    words = ["setpriv", "--pdeathsig", "KILL", *module, *places]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as line:
        try:
            if line.stdout is None or line.stdout.readline() != "ready\n":
                raise SystemExit("the delayed link cannot be made; it needs the kernel's tun and real-time priority")
            for host in hosts:
                host.run("ip", "link", "set", delay_line.NAME, "up", "mtu", str(MTU))
            yield
        finally:
            line.kill()
