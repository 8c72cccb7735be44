"""Whether a process that left its name in a file is still there: its number alone may be another one's by now."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any


def identity() -> dict[str, Any]:
    """What this process can be known by, as JSON."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "machine": machine(), "started": started(pid)}


def is_alive(known: dict[str, Any]) -> bool | None:
    """Whether the process of that identity is there; None where it cannot be seen from here."""
    pid, then = known.get("pid"), known.get("started")
    if known.get("machine") != machine() or not isinstance(pid, int) or then is None:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is somebody else's
    now = started(pid)
    return None if now is None else now == then


def machine() -> str:
    """What processes have in common that can see each other: the host, its start, and their numbering."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux
        return ""


def started(pid: int) -> str | None:
    """When a process started, in ticks since the machine did; ``ended`` for a zombie, None where it is not shown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "ended" if fields[0] in "ZX" else fields[19]
