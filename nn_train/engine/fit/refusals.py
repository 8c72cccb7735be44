"""The end of a script by an error that it does not catch: one line where nothing else helps, as a job ends."""

from __future__ import annotations

import re
import sys
from types import TracebackType

from nn_train.engine.lost_peers import is_lost_peer, lost_peers
from nn_train.engine.strategy import Replicas
from nn_train.errors import EXIT_BAD_REQUEST, EXIT_FAILED, RequestError

WHY = re.compile(r"task:\d+ broke \((it ended with .*)\)$", re.MULTILINE)
ONE_WRITES = "What one process alone may do, such as writing a file, belongs under `if nn_train.is_chief():`"


def tell_in_one_line(workers: Replicas) -> None:
    """Let Python print one line for a ``RequestError``, which all workers raise and the chief says, and for a worker
    that is gone, with what it said. Other errors are told to the other workers, and printed as ever."""
    others = sys.excepthook

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, RequestError):
            said = str(error) if workers.is_chief else "refused, for what the first worker says"
            end(said, EXIT_BAD_REQUEST)
        if isinstance(error, Exception) and is_lost_peer(error):
            end(of_lost(error, workers.rank), EXIT_FAILED)
        if workers.peers is not None:
            workers.peers.take_leave(f"{kind.__name__}: {' '.join(str(error).split())}"[:500])
        others(kind, error, trace)

    sys.excepthook = tell


def end(said: str, code: int) -> None:
    print(f"error: {said}", file=sys.stderr)
    raise SystemExit(code)


def of_lost(error: Exception, own_rank: int) -> str:
    """Of a worker that is gone: which, and why, as far as it has said that."""
    who = " and ".join(f"worker {rank}" for rank in lost_peers(error, own_rank)) or "another worker"
    found = WHY.search(str(error))
    if found is None:
        return f"{who} cannot be reached any more; its own output says why"
    return f"{who} failed first: {found.group(1)}; its own output says more. {ONE_WRITES}"
