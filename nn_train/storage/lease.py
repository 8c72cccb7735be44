"""Who works in a folder: a second job with the same name is refused, and who was killed can go on.

A lease is a file beside the folder, ``.<name>.lease``, that says which process writes there. Object storage has no
locks, so it is no lock: its holder writes it anew every ``RENEW_SECONDS``, and it ends when it is deleted, when its
process is seen to be gone, or ``STALE_SECONDS`` after the last renewal. See docs/decisions/0013.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nn_train.errors import RequestError, StorageError, TrainingError
from nn_train.storage.folder import ResultsFolder

RENEW_SECONDS = 10.0
STALE_SECONDS = 30.0  # by the clock of who waits, from when he looked first: clocks of machines differ
# Longer than others take from reading to writing, in files and objects; renewals find out where that was wrong.
SETTLE_SECONDS = {True: 0.1, False: 1.0}
JOIN_WITHIN = 10.0  # seconds for a renewal that is under way
TOGETHER = 16  # renewals at a time
HELD: set[str] = set()  # owners of the leases that this process holds
Say = Callable[[str], None]


@contextlib.contextmanager
def hold(targets: Sequence[ResultsFolder], say: Say, field: str = "name") -> Iterator[None]:
    """Be the only job that writes to ``targets``.

    Args:
        targets: the folders; they need not exist.
        say: called with what is waited for, where a holder on another machine may be gone.
        field: the setting that names the folder, for messages.

    Raises:
        RequestError: another job holds one of them.
        TrainingError: another job took one of them, because this one could not renew its lease. The work is
            interrupted for it as by Ctrl-C.
    """
    leases = [Lease(target, field) for target in targets]
    ended, interrupts = threading.Event(), threading.current_thread() is threading.main_thread()
    with contextlib.ExitStack() as stack:
        for lease in leases:
            lease.wait(say)
            stack.callback(lease.give_back)
            HELD.add(lease.record["owner"])
            lease.write()
        time.sleep(SETTLE_SECONDS[all(target.is_local for target in targets)])
        for lease in leases:
            lease.confirm()
        keeper = threading.Thread(target=keep, args=(leases, ended, interrupts), daemon=True)
        keeper.start()
        try:
            with interruptible(leases) if interrupts else contextlib.nullcontext():
                yield
            ended.set()
            keeper.join(JOIN_WITHIN)
        except KeyboardInterrupt:
            refuse_lost(leases)
            raise
        finally:
            ended.set()
            keeper.join(JOIN_WITHIN)
        refuse_lost(leases)


@contextlib.contextmanager
def interruptible(leases: Sequence[Lease]) -> Iterator[None]:
    """Let the keeper's SIGINT through where it is blocked (a job of Ray's job server) or ignored (``command &``)."""

    def stop(number: int, frame: object) -> None:
        if any(lease.taker is not None for lease in leases):
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    if before is None or (before != signal.SIG_IGN and signal.SIGINT not in blocked):  # None: not Python's to change
        yield
        return
    signal.signal(signal.SIGINT, stop)  # before it is let through: one that waits is a person's
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, before)


class Lease:
    """The lease of one folder. ``taker`` is who took it from its holder."""

    def __init__(self, target: ResultsFolder, field: str = "name") -> None:
        self.target, self.field = target, field
        self.folder, self.file = target.parent, f".{target.name}.lease"
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.record = {"owner": uuid.uuid4().hex, "since": since, **identity()}
        self.taker: dict[str, Any] | None = None
        self.device: int | None = None
        above = [Path(self.folder.root), *Path(self.folder.root).parents] if target.is_local else []
        self.new_folders = [path for path in above if not path.exists()]

    def wait(self, say: Say) -> None:
        """Return when nobody holds it. RequestError as soon as somebody is known to."""
        first, deadline = None, 0.0
        while (found := self.read()) is not None:
            alive = self.is_held(found)
            if alive is False or (found == first and time.monotonic() >= deadline):
                return
            if alive or (first is not None and found != first):
                raise self.refusal(found)
            if first is None:
                first, deadline = found, time.monotonic() + STALE_SECONDS
                say(f"{holder(found)}, which may be gone: {STALE_SECONDS:.0f} s for a sign of life")
            time.sleep(1.0)

    def is_held(self, found: dict[str, Any]) -> bool | None:
        """Whether its holder is there; None where that cannot be seen from here."""
        own = ("host", "pid", "machine", "started")
        if self.record["machine"] and self.record["started"] and all(found.get(key) == self.record[key] for key in own):
            # By this process: in another thread, or it was unable to delete it on a disk that had failed.
            return found.get("owner") in HELD
        return is_alive(found)

    def read(self) -> dict[str, Any] | None:
        """The file; None where there is none, empty where it is damaged."""
        try:
            content = json.loads(self.folder.read(self.file))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError:
            content = {}
        return content if isinstance(content, dict) else {}

    def write(self) -> None:
        self.device = self.device_now()
        self.folder.write_json(self.file, {**self.record, "renewed": time.time()})

    def confirm(self) -> None:
        """RequestError when another job wrote it at the same moment."""
        self.look()
        if self.taker is not None:
            raise self.refusal(self.taker)
        self.folder.patient = False  # a renewal that fails is tried again soon enough

    def renew(self) -> None:
        """Write it anew, or learn who took it."""
        found = self.look()
        # A disk that was unmounted leaves its mount point: a lease that is written there would be on another disk.
        if self.taker is None and (found is not None or self.device == self.device_now()):
            self.write()

    def look(self) -> dict[str, Any] | None:
        found = self.read()
        if found and found.get("owner") != self.record["owner"]:
            self.taker = found
        return found

    def device_now(self) -> int | None:
        """The number of the disk that the folder is on; None for objects, and before there is a folder."""
        with contextlib.suppress(OSError):
            return os.stat(self.folder.root).st_dev if self.target.is_local else None
        return None

    def give_back(self) -> None:
        """Delete it, if it is still one's own, and the folders that were made for it, if nothing else is there."""
        try:
            with contextlib.suppress(StorageError):
                if (self.read() or {}).get("owner") == self.record["owner"]:
                    self.folder.delete(self.file)
        finally:
            HELD.discard(self.record["owner"])
        with contextlib.suppress(OSError):
            for path in self.new_folders:
                path.rmdir()

    def refusal(self, found: dict[str, Any]) -> RequestError:
        where, since = self.target.location, found.get("since")
        way_out = f"wait for its end, or give another --{self.field.lstrip('-')}"
        return RequestError(f"{self.field}: {where} is in use by {holder(found)}, since {since}; {way_out}")


def keep(leases: Sequence[Lease], ended: threading.Event, interrupts: bool) -> None:
    """Renew them until ``ended``; once one is lost, interrupt the work."""
    while not ended.wait(RENEW_SECONDS):
        with ThreadPoolExecutor(TOGETHER) as pool:  # a pipeline has one for each of its runs
            list(pool.map(renew, leases))
        if any(lease.taker is not None for lease in leases):
            if interrupts:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return


def renew(lease: Lease) -> None:
    with contextlib.suppress(Exception):  # whatever storage raises: it is tried again soon, and must not end the keeper
        lease.renew()


def refuse_lost(leases: Sequence[Lease]) -> None:
    """Raise TrainingError when one of them was taken."""
    for lease in leases:
        if lease.taker is not None:
            raise TrainingError(
                f"{lease.target.location} was taken over by {holder(lease.taker)}, because this job did not renew its "
                f"lease for {STALE_SECONDS:.0f} s; it stopped, and the other one goes on"
            ) from None


def holder(found: dict[str, Any]) -> str:
    return f"another job, process {found.get('pid')} on {found.get('host')}"


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
