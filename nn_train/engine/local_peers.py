"""Workers of one strategy on one machine send each other arrays through Unix sockets. See docs/decisions/0033.

A message of TensorFlow's collectives costs a millisecond and 2.5 ns a byte there, which for a small model is most of a
step; one through a socket costs hundredths of that. The sockets lie in a folder that only this user can enter.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import select
import socket
import stat
import struct
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from nn_train.engine.lost_peers import broken_connection

HEADER = struct.Struct("=QQ")  # which message of the connection, and its bytes
RANK = struct.Struct("=I")  # what a worker says first
BUFFER = 4 * 2**20  # bytes that the system is asked to hold on the way; it may give less
FAREWELL = 2**64 - 1  # in the place of a message's number: what follows is why a worker ends
OPERATION = "exchange_with_local_peers"  # what such a message is called in a graph
PATIENCE = 30.0  # seconds for a worker that has said that it is connected
SILENCE = 10.0  # seconds without a byte, after which those that are waited for are asked whether they are there
ANSWER = 10.0  # seconds for the answer, which TensorFlow gives also while Python or a step is busy


class LocalPeers:
    """The other workers, all on this machine. Every worker makes the same calls in the same order.

    Args:
        rank: of this worker.
        sockets: rank to connection, of all others.
    """

    def __init__(self, rank: int, sockets: dict[int, socket.socket]) -> None:
        self.rank, self.sockets = rank, dict(sorted(sockets.items()))
        self.messages = 0
        self.transfers: list[Transfer] = []  # of the message under way
        self.lock = threading.Lock()
        for one in self.sockets.values():
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)

    def of_all(self, own: tf.Tensor) -> list[tf.Tensor]:
        """The tensors of all workers, of one shape, in the order of their ranks.

        TensorFlow runs operations such as this in the order in which they were traced.
        """
        given: Any = tf.numpy_function(self.exchange, [own], [own.dtype] * len(self.sockets), name=OPERATION)
        tensors = list(given) if isinstance(given, list | tuple) else [given]  # a single one, outside of graphs
        for other in tensors:
            other.set_shape(own.shape)
        tensors.insert(self.rank, own)
        return tensors

    def sum(self, own: tf.Tensor) -> tf.Tensor:
        """The sum of a tensor over all workers, added in the order of their ranks: the same bits on each."""
        return functools.reduce(tf.add, self.of_all(own))

    def exchange(self, own: np.ndarray) -> list[np.ndarray]:
        """Send an array to all others; theirs, of the same shape, in the order of their ranks.

        Raises:
            RuntimeError: a worker is gone or stopped, or sends another message than this one.
        """
        with self.lock:
            self.messages += 1
            header = HEADER.pack(self.messages, own.nbytes)
            self.transfers = [Transfer(rank, one, header, own) for rank, one in self.sockets.items()]
            try:
                while waiting := [transfer for transfer in self.transfers if not transfer.go_on()]:
                    poll = select.poll()
                    for transfer in waiting:
                        poll.register(transfer.socket, select.POLLIN | (select.POLLOUT if transfer.leaving else 0))
                    if not poll.poll(1000 * SILENCE):
                        for transfer in waiting:
                            ask(transfer.rank)
                return [transfer.theirs for transfer in self.transfers]
            finally:
                self.transfers = []  # which hold as much memory as the message

    def take_leave(self, why: str) -> None:
        """Tell the others why this process ends, as far as they still listen."""
        text = why.encode()[:BUFFER]
        for one in self.sockets.values():
            with contextlib.suppress(OSError):
                one.sendmsg([HEADER.pack(FAREWELL, len(text)), text])

    def waited_for(self) -> tuple[int, ...]:
        """The ranks whose message has not come yet; for another thread, which wonders why nothing moves."""
        return tuple(transfer.rank for transfer in self.transfers if transfer.coming)


class Transfer:
    """One message to a worker, and one from it."""

    def __init__(self, rank: int, connection: socket.socket, header: bytes, own: np.ndarray) -> None:
        self.rank, self.socket, self.header = rank, connection, header
        self.theirs, self.their_header = np.empty(own.shape, own.dtype), bytearray(len(header))
        self.leaving = [memoryview(header), bytes_of(own)]
        self.coming = [memoryview(self.their_header), bytes_of(self.theirs)]
        self.received = 0

    def go_on(self) -> bool:
        """Send and receive what is possible now; whether that was all."""
        try:
            if self.leaving:
                self.leaving = without(self.leaving, self.try_to(self.socket.sendmsg, self.leaving))
            if self.coming:
                count = self.try_to(lambda parts: self.socket.recvmsg_into(parts)[0] or None, self.coming)
                self.coming, self.received = without(self.coming, count), self.received + count
        except OSError as error:
            raise RuntimeError(broken_connection(self.rank, str(error))) from error
        if self.received >= HEADER.size and self.their_header != self.header:
            if HEADER.unpack(self.their_header)[0] == FAREWELL:
                raise RuntimeError(broken_connection(self.rank, f"it ended with {self.farewell()}"))
            raise RuntimeError(
                f"worker {self.rank} sends message {HEADER.unpack(self.their_header)} (number, bytes), and this one "
                f"{HEADER.unpack(self.header)}: they do not do the same, as where a stream of data.source "
                "gives one of them more examples"
            )
        return not self.leaving and not self.coming

    def farewell(self) -> str:
        """The text behind the header, of which a part was taken for a message."""
        text, size = bytes(bytes_of(self.theirs)[: self.received - HEADER.size]), HEADER.unpack(self.their_header)[1]
        self.socket.settimeout(1.0)
        with contextlib.suppress(OSError):
            while len(text) < size and (more := self.socket.recv(size - len(text))):
                text += more
        return text[:size].decode(errors="replace")

    def try_to(self, action: Callable[[Sequence[memoryview]], int | None], parts: Sequence[memoryview]) -> int:
        """Bytes that went; none where the system has no room or nothing for us."""
        try:
            count = action(parts)
        except BlockingIOError:
            return 0
        if count is None:
            raise RuntimeError(broken_connection(self.rank, "it was closed there"))
        return int(count)


def ask(rank: int) -> None:
    """Whether a worker that is silent is there at all: its user's code may take long, but a stopped process never ends.

    TensorFlow's heartbeats notice that too, but end only its own messages.

    Raises:
        RuntimeError: it does not answer.
    """
    errors = (tf.errors.DeadlineExceededError, tf.errors.UnavailableError, tf.errors.FailedPreconditionError)
    try:
        context.context().check_collective_ops_peer_health(f"/job:worker/replica:0/task:{rank}", int(1000 * ANSWER))
    except errors as error:
        raise RuntimeError(broken_connection(rank, f"its process has not answered for {ANSWER:.0f} s")) from error


def bytes_of(array: np.ndarray) -> memoryview:
    """Its memory."""
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def without(parts: Sequence[memoryview], count: int) -> list[memoryview]:
    """What is left of ``parts`` after their first ``count`` bytes."""
    left = []
    for part in parts:
        taken = min(count, len(part))
        count -= taken
        if taken < len(part):
            left.append(part[taken:])
    return left


class Meeting:
    """How the workers at ``addresses`` find each other on one machine.

    Each says after ``listen`` and after ``connect`` whether it could; if one could not, none of them is connected.
    """

    def __init__(self, addresses: Sequence[str], rank: int) -> None:
        self.size, self.rank = len(addresses), rank
        self.on_one_machine = len({address.rpartition(":")[0] for address in addresses}) == 1 < self.size
        self.name = hashlib.sha256("|".join(addresses).encode()).hexdigest()[:16]
        self.listener: socket.socket | None = None
        self.connected: dict[int, socket.socket] = {}

    def path(self, rank: int) -> str:
        return os.path.join(tempfile.gettempdir(), f"nn-train-{os.geteuid()}", f"{self.name}-{rank}")

    def listen(self) -> bool:
        """Be there for the workers of higher rank."""
        if not self.on_one_machine:
            return False
        own = Path(self.path(self.rank))
        try:
            own.parent.mkdir(mode=0o700, exist_ok=True)
            about = own.parent.lstat()
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
                return False  # somebody else's
            own.unlink(missing_ok=True)  # of a worker that was killed
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(own))
            self.listener.listen(self.size)
        except OSError:  # a path that is too long, a disk that is full
            return False
        return True

    def connect(self) -> bool:
        """To the workers of lower rank, all of which listen."""
        try:
            for rank in range(self.rank):
                self.connected[rank] = socket.socket(socket.AF_UNIX)
                self.connected[rank].settimeout(PATIENCE)
                self.connected[rank].connect(self.path(rank))
                self.connected[rank].sendall(RANK.pack(self.rank))
        except OSError:  # such as another container's folder at the same address
            return False
        return True

    def accept(self) -> LocalPeers:
        """The workers of higher rank, all of which have connected."""
        assert self.listener is not None
        self.listener.settimeout(PATIENCE)
        for _ in range(self.rank + 1, self.size):
            one, _ = self.listener.accept()
            one.settimeout(PATIENCE)
            self.connected[RANK.unpack(one.recv(RANK.size, socket.MSG_WAITALL))[0]] = one
        peers, self.connected = LocalPeers(self.rank, self.connected), {}
        return peers

    def end(self) -> None:
        """Leave nothing behind but the connections of the peers."""
        for one in (*self.connected.values(), *([self.listener] if self.listener else [])):
            one.close()
        if self.listener is not None:
            Path(self.path(self.rank)).unlink(missing_ok=True)
