"""A link that takes its time, between two network namespaces: what netem does, for kernels that have none.

    python -m benchmarks.delay_line PID PID MILLISECONDS      # as root

Makes a card ``line0`` in the network of each of the two processes; every packet that is sent through one comes out of
the other the given time later. Says ``ready``, then runs until it is ended, and the cards with it. Each direction has a
process of its own with real-time priority: on busy cores it would be late, and it has work only when there are packets.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import struct
import sys
import time
from collections import deque

NAME = "line0"
LONGEST = 65_535  # bytes of a packet
CLONE_NEWNET = 0x40000000  # linux/sched.h
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
PR_SET_PDEATHSIG, PR_SET_TIMERSLACK = 1, 29  # linux/prctl.h


def main() -> int:
    first, second, milliseconds = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_TIMERSLACK, 1)  # nanosecond; by default the kernel may wake a process 0.05 ms late
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    card, other = (card_in(libc, int(pid)) for pid in (first, second))
    if os.fork() == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        card, other = other, card
    else:
        print("ready", flush=True)
    pass_on(card, other, float(milliseconds) / 1000)
    return 0


def card_in(libc: ctypes.CDLL, pid: int) -> int:
    """The descriptor of a new card in the network of a process."""
    with open(f"/proc/{pid}/ns/net") as network:
        if libc.setns(network.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the network of process {pid}")
    card = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(card, TUNSETIFF, struct.pack("16sH22x", NAME.encode(), IFF_TUN | IFF_NO_PI))
    return card


def pass_on(card: int, other: int, delay: float) -> None:
    """Forever: what ``card`` is given comes out of ``other`` ``delay`` seconds later."""
    waiting: deque[tuple[float, bytes]] = deque()  # all have the same delay: the first is due first
    while True:
        patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([card], [], [], patience)[0]:
            with contextlib.suppress(BlockingIOError):
                packet = os.read(card, LONGEST)
                waiting.append((time.monotonic() + delay, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            with contextlib.suppress(OSError):  # a card that is full or down loses it, as others do
                os.write(other, waiting.popleft()[1])


if __name__ == "__main__":
    sys.exit(main())
