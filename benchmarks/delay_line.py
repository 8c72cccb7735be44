"""A switch that takes its time, between network namespaces: what netem does, for kernels that have none.

    python -m benchmarks.delay_line MILLISECONDS PID:ADDRESS PID:ADDRESS …      # as root

Makes a card ``line0`` in the network of each of the processes; every IPv4 packet that is sent through one comes out of
the one whose address it is for, the given time later. Says ``ready``, then runs until it is ended, and the cards with
it. What each card sends has a process of its own with real-time priority: on busy cores it would be late, and it has
work only when there are packets.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import time
from collections import deque

NAME = "line0"
LONGEST = 65_535  # bytes of a packet
ADDRESSED_TO = slice(16, 20)  # of a packet of IPv4
CLONE_NEWNET = 0x40000000  # linux/sched.h
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
PR_SET_PDEATHSIG, PR_SET_TIMERSLACK = 1, 29  # linux/prctl.h


def main() -> int:
    milliseconds, *places = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_TIMERSLACK, 1)  # nanosecond; by default the kernel may wake a process 0.05 ms late
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    cards = {}
    for pid, _, address in (place.partition(":") for place in places):
        cards[socket.inet_aton(address)] = card_in(libc, int(pid))
    own, *others = cards.values()
    for card in others:
        if os.fork() == 0:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            own = card
            break
    else:
        print("ready", flush=True)
    pass_on(own, cards, float(milliseconds) / 1000)
    return 0


def card_in(libc: ctypes.CDLL, pid: int) -> int:
    """The descriptor of a new card in the network of a process."""
    with open(f"/proc/{pid}/ns/net") as network:
        if libc.setns(network.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the network of process {pid}")
    card = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(card, TUNSETIFF, struct.pack("16sH22x", NAME.encode(), IFF_TUN | IFF_NO_PI))
    return card


def pass_on(card: int, cards: dict[bytes, int], delay: float) -> None:
    """Forever: what ``card`` is given comes out of the card of its address ``delay`` seconds later."""
    waiting: deque[tuple[float, int, bytes]] = deque()  # all have the same delay: the first is due first
    while True:
        patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([card], [], [], patience)[0]:
            with contextlib.suppress(BlockingIOError, KeyError):  # others, as IPv6, are lost
                packet = os.read(card, LONGEST)
                waiting.append((time.monotonic() + delay, cards[packet[ADDRESSED_TO]], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            with contextlib.suppress(OSError):  # a card that is full or down loses it, as others do
                os.write(*waiting.popleft()[1:])


if __name__ == "__main__":
    sys.exit(main())
