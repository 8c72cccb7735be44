"""A collective operation failed because another worker is gone: how TensorFlow says so, and of whom."""

from __future__ import annotations

import re
import sys

BROKEN = "the connection to the worker "


class PeerLostError(RuntimeError):
    """A collective operation failed because another worker is gone. Training can go on with a new one.

    Args:
        text: for the logs.
        peers: ranks of the workers that are gone, where TensorFlow names them.
    """

    def __init__(self, text: str, peers: tuple[int, ...] = ()) -> None:
        super().__init__(text, peers)  # both, so that it can be pickled
        self.peers = peers

    def __str__(self) -> str:
        return str(self.args[0])


def broken_connection(rank: int, why: str) -> str:
    """What is said where a connection of ours to a worker breaks; it is named as TensorFlow does."""
    return f"{BROKEN}/job:worker/replica:0/task:{rank} broke ({why})"


def lost_peers(error: Exception, own_rank: int) -> tuple[int, ...]:
    """The workers that TensorFlow's account of a lost peer names (``/job:worker/replica:0/task:1``)."""
    ranks = {int(rank) for rank in re.findall(r"/job:worker/(?:replica:\d+/)?task:(\d+)", str(error))}
    return tuple(sorted(ranks - {own_rank}))


def is_lost_peer(error: Exception) -> bool:
    """Whether TensorFlow, or a connection of ours, says that another worker of the strategy cannot be reached."""
    if "tensorflow" not in sys.modules:
        return False
    errors = sys.modules["tensorflow"].errors
    if isinstance(error, errors.UnknownError | RuntimeError):  # in a graph, and outside of one
        return BROKEN in str(error)
    return isinstance(error, errors.UnavailableError | errors.AbortedError | errors.CancelledError) or (
        isinstance(error, errors.InternalError | errors.DeadlineExceededError) and "ollective" in str(error)
    )
