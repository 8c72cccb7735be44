"""What to do about a failure: a lost worker is replaced, a mistake is reported at once."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2._internal.execution.failure_handling.default import DefaultFailurePolicy

from nn_train.errors import RequestError, TrainingError

HERE = str(Path(__file__).parents[1]) + "/"
LIBRARIES = ("/site-packages/", HERE, "/lib/python", "<frozen", "__autograph_generated")


class PeerLostError(RuntimeError):
    """A collective operation failed because another worker is gone. Training can go on with a new one."""


class RetryLostWorkers(DefaultFailurePolicy):
    """Ray Train's policy, except that an error raised by code is not tried again: it would come again."""

    def make_decision(self, training_failed_error: Any) -> FailureDecision:
        if is_final(getattr(training_failed_error, "worker_failures", {})):
            return FailureDecision.RAISE
        return super().make_decision(training_failed_error)


def is_final(worker_failures: dict[int, Exception]) -> bool:
    """Whether one of the workers raised an error of its own, rather than dying or losing a peer."""
    return any(isinstance(cause_of(failure), RequestError | TrainingError) for failure in worker_failures.values())


def cause_of(failure: Exception) -> Exception:
    """What a worker raised, without Ray Train's wrapping."""
    return getattr(failure, "_base_exc", failure)


def is_lost_peer(error: Exception) -> bool:
    """Whether TensorFlow says that another worker of the strategy cannot be reached any more."""
    if "tensorflow" not in sys.modules:
        return False
    errors = sys.modules["tensorflow"].errors
    return isinstance(error, errors.UnavailableError | errors.AbortedError | errors.CancelledError) or (
        isinstance(error, errors.InternalError | errors.DeadlineExceededError) and "ollective" in str(error)
    )


def own_traceback(error: Exception) -> str:
    """The traceback without the frames of libraries, save the last one where the error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not any(part in frame.filename for part in LIBRARIES)]
    shown = own if own and own[-1] is frames[-1] else [*own, *frames[-1:]]
    lines = ["Traceback (of this job's own code):\n", *traceback.format_list(shown)]
    return "".join(lines) + "".join(traceback.format_exception_only(error)).strip()
