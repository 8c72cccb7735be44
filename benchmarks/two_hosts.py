"""Two hosts as far as the network goes: namespaces joined by a link whose speed can be set. Needs root and iproute2.

The processes on both share the cores, the disk and the memory. Nothing has a name outside: link and namespaces end with
the processes in them, and those with this one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

CARD = "eth0"
BURST = 70_000  # bytes that pass at once: hardly more than the largest packet, or whole messages would pass unshaped
QUEUE = 8_000_000  # bytes


@dataclass(frozen=True)
class Host:
    """A network of its own.

    Attributes:
        address: of its card on the link.
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


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """The two, each reaching the other; the link is as fast as the kernel."""
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
                host.run("ip", "link", "set", card, "up")
        yield first, second


def shape(hosts: tuple[Host, Host], gigabits: float | None, delay: float) -> bool:
    """Set the speed of the link, in either direction.

    Args:
        gigabits: per second; None: as fast as the kernel, without delay.
        delay: milliseconds on the way, in each direction.

    Returns:
        Whether the delay is there: kernels without netem can only limit the speed.
    """
    delayed = True
    for host in hosts:
        with contextlib.suppress(subprocess.CalledProcessError):  # there was none
            host.run("tc", "qdisc", "del", "dev", CARD, "root")
        if gigabits is None:
            continue
        rate = f"{gigabits * 1000:.0f}mbit"
        set_root = ["tc", "qdisc", "add", "dev", CARD, "root"]
        try:
            host.run(*set_root, "netem", "delay", f"{delay}ms", "rate", rate, "limit", "100000")
        except subprocess.CalledProcessError:
            host.run(*set_root, "tbf", "rate", rate, "burst", str(BURST), "limit", str(QUEUE))
            delayed = False
    return delayed
