"""A refusal that a script does not catch ends it with one line and exit code 2, as a job ends."""

from __future__ import annotations

import sys
from types import TracebackType

from nn_train.engine.strategy import Replicas
from nn_train.errors import EXIT_BAD_REQUEST, RequestError


def tell_in_one_line(workers: Replicas) -> None:
    """Let Python do so with a ``RequestError``, which all workers raise: the chief says it, the others that it did."""
    others = sys.excepthook

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, RequestError):
            others(kind, error, trace)
            return
        said = str(error) if workers.is_chief else "refused, for what the first worker says"
        print(f"error: {said}", file=sys.stderr)
        raise SystemExit(EXIT_BAD_REQUEST)

    sys.excepthook = tell
