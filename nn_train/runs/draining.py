"""Workers that make way for others: asked to leave, they keep a checkpoint first, so that nothing is repeated.

Light: the controller, which asks, does not import TensorFlow.
"""

from __future__ import annotations

import threading


class DrainedError(Exception):
    """Raised on every worker once the checkpoint is kept. No failure: others go on from there."""


_asked = threading.Event()


def ask_to_drain() -> None:
    """Called in the chief's process, from another thread than the one that trains."""
    _asked.set()


def is_asked_to_drain() -> bool:
    """Whether this process was asked."""
    return _asked.is_set()
