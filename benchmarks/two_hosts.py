"""Two hosts as far as the network goes: namespaces joined by a link whose speed can be set. Needs root and iproute2.

The processes on both share the cores, the disk and the memory. Nothing has a name outside: links and namespaces end
with the processes in them, and those with this one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import delay_line

CARD = "eth0"
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


class Link:
    """What joins two hosts.

    Attributes:
        hosts: the two, each reaching the other.
        delay: milliseconds on the way, in each direction, where the speed is limited.
        has_netem: whether the kernel itself delays; otherwise a process does, ``benchmarks.delay_line``.
    """

    def __init__(self, hosts: tuple[Host, Host], delay: float, has_netem: bool) -> None:
        self.hosts, self.delay, self.has_netem = hosts, delay, has_netem

    def limit(self, gigabits: float | None) -> None:
        """Set the speed, per second and direction; None: as fast as the kernel, without delay."""
        for host, other in zip(self.hosts, reversed(self.hosts), strict=True):
            slow = CARD if self.has_netem else delay_line.NAME
            with contextlib.suppress(subprocess.CalledProcessError):  # there was none
                host.run("tc", "qdisc", "del", "dev", slow, "root")
            way = CARD if gigabits is None else slow
            host.run("ip", "route", "replace", f"{other.address}/32", "dev", way, "src", host.address)
            if gigabits is None:
                continue
            rate, set_root = f"{gigabits * 1000:.0f}mbit", ["tc", "qdisc", "add", "dev", slow, "root"]
            if self.has_netem:
                host.run(*set_root, "netem", "delay", f"{self.delay}ms", "rate", rate, "limit", "100000")
            else:
                host.run(*set_root, "tbf", "rate", rate, "burst", str(BURST), "limit", str(QUEUE))


@contextlib.contextmanager
def two_hosts(delay: float) -> Iterator[Link]:
    """Two new hosts, whose link is as fast as the kernel until it is limited. ``delay``: as of ``Link``."""
    if os.geteuid() != 0:
        raise SystemExit("network namespaces need root: run it as root")
    with contextlib.ExitStack() as stack:
        keepers = []
        for _ in range(2):
            keep = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"]
            keepers.append(stack.enter_context(subprocess.Popen(keep)))
            stack.callback(keepers[-1].kill)
        first, second = (Host(f"10.209.78.{number}", keeper.pid) for number, keeper in enumerate(keepers, 1))
        own = os.readlink("/proc/self/ns/net")
        while own in (os.readlink(f"/proc/{host.process}/ns/net") for host in (first, second)):
            time.sleep(0.01)
        first.run("ip", "link", "add", CARD, "type", "veth", "peer", "name", CARD, "netns", str(second.process))
        for host in (first, second):
            host.run("ip", "addr", "add", f"{host.address}/24", "dev", CARD)
            for card in (CARD, "lo"):
                host.run("ip", "link", "set", card, "up", "mtu", str(MTU))
        has_netem = can_delay(first)
        if not has_netem:
            stack.enter_context(delayed(first, second, delay))
        yield Link((first, second), delay, has_netem)


def can_delay(host: Host) -> bool:
    """Whether the kernel has netem."""
    try:
        host.run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
    except subprocess.CalledProcessError:
        return False
    host.run("tc", "qdisc", "del", "dev", "lo", "root")
    return True


@contextlib.contextmanager
def delayed(first: Host, second: Host, delay: float) -> Iterator[None]:
    """A second link between the hosts, whose packets take ``delay`` milliseconds."""
    module = [sys.executable, "-m", delay_line.__name__]
    words = ["setpriv", "--pdeathsig", "KILL", *module, str(first.process), str(second.process), str(delay)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as line:
        try:
            if line.stdout is None or line.stdout.readline() != "ready\n":
                raise SystemExit("the delayed link cannot be made; it needs the kernel's tun and real-time priority")
            for host in (first, second):
                host.run("ip", "link", "set", delay_line.NAME, "up", "mtu", str(MTU))
            yield
        finally:
            line.kill()
