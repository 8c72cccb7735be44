"""What all workers must find alike in the storage before they go on: a run, its checkpoint.

A worker that cannot read what the others read would begin anew beside them, or leave them waiting for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from nn_train.errors import OtherWorkerError, RequestError

if TYPE_CHECKING:
    from nn_train.engine.strategy import Replicas

Found = TypeVar("Found")
NOT_SHARED = (
    "run.storage_path: the workers do not see the same {location}; on several machines it must be a shared folder "
    "(NFS) or a URI such as s3://bucket/results"
)
OTHER = (
    "run.storage_path: another worker cannot read {location}, which this one can; on several machines it must be a "
    "shared folder (NFS) or a URI such as s3://bucket/results, and readable on each"
)
SAYS_FIRST = 1.0  # seconds for the worker that knows why: the first error ends all of them


def found_by_all(
    look: Callable[[], Found], numbers: Callable[[Found | None], Sequence[int]], replicas: Replicas, location: str
) -> Found:
    """What ``look`` gives, where it gives the same to all workers. Collective, also where it raises an error.

    Args:
        look: reads from the storage.
        numbers: what has to be the same, of what was found; as many for None, where nothing could be read.
        replicas: a ``Replicas``.
        location: what is read, for the message.

    Raises:
        RequestError: the workers have found different things.
        OtherWorkerError: another worker could not look.
        Exception: what ``look`` raises.
    """
    from nn_train.engine.collectives import same_on_all

    found, problem = None, None
    try:
        found = look()
    except Exception as error:
        problem = error
    all_or_none = same_on_all(replicas, int(problem is None))
    same = same_on_all(replicas, *numbers(found))
    if problem is not None:
        raise problem
    if not all_or_none:
        time.sleep(SAYS_FIRST)
        raise OtherWorkerError(OTHER.format(location=location))
    if not same:
        raise RequestError(NOT_SHARED.format(location=location))
    return found  # type: ignore[return-value]  # None only where ``look`` gave it
