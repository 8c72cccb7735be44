"""A collective operation failed because another worker is gone: how TensorFlow says so, and of whom."""

from __future__ import annotations

import re
import sys


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


def lost_peers(error: Exception, own_rank: int) -> tuple[int, ...]:
    """The workers that TensorFlow's account of a lost peer names (``/job:worker/replica:0/task:1``)."""
    ranks = {int(rank) for rank in re.findall(r"/job:worker/(?:replica:\d+/)?task:(\d+)", str(error))}
    return tuple(sorted(ranks - {own_rank}))


def is_lost_peer(error: Exception) -> bool:
    """Whether TensorFlow says that another worker of the strategy cannot be reached any more."""
    if "tensorflow" not in sys.modules:
        return False
    errors = sys.modules["tensorflow"].errors
    return isinstance(error, errors.UnavailableError | errors.AbortedError | errors.CancelledError) or (
        isinstance(error, errors.InternalError | errors.DeadlineExceededError) and "ollective" in str(error)
    )
