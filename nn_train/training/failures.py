"""What to do about a failure: a lost worker is replaced, a mistake is reported at once. And how it is told."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from typing import Any

from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError
from ray.train import FailureConfig
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerHealthCheckTimeoutError
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2._internal.execution.failure_handling.default import DefaultFailurePolicy
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from nn_train.config.wording import numbered
from nn_train.engine.lost_peers import PeerLostError
from nn_train.errors import RequestError, TrainingError
from nn_train.events import Handler, WorkersLost
from nn_train.runs.draining import DrainedError


class HungError(RuntimeError):
    """A worker's steps do not end, most likely because another one does not answer. It is started again.

    Args:
        text: since when.
        waits_for: the ranks of workers whose message has not come, where that is known: it is they that hang.
    """

    def __init__(self, text: str, waits_for: tuple[int, ...] = ()) -> None:
        super().__init__(text, waits_for)  # both, so that it can be pickled
        self.waits_for = waits_for

    def __str__(self) -> str:
        return str(self.args[0])


class RetryLostWorkers(DefaultFailurePolicy):
    """Ray Train's policy, except that an error raised by code is not tried again: it would come again.

    Args:
        failure_config: ``max_failures`` limits the restarts.
        tell: called before each restart with ``WorkersLost``.
    """

    def __init__(self, failure_config: FailureConfig, tell: Handler) -> None:
        super().__init__(failure_config)
        self.tell, self.restarts = tell, 0

    def make_decision(self, training_failed_error: Any) -> FailureDecision:
        error = as_lost_worker(training_failed_error)
        failures = getattr(error, "worker_failures", None)
        if is_drained(failures or {}):
            return FailureDecision.RETRY  # as they were asked to
        if is_final(failures or {}):
            return FailureDecision.RAISE
        decision = super().make_decision(error)
        if decision == FailureDecision.RETRY and failures is not None:
            # Machines that a cloud takes back do not count.
            counts = not any(loss_of(failure) is Loss.PREEMPTED for failure in failures.values())
            self.restarts += counts
            self.tell(workers_lost(failures, self.restarts if counts else None, self.failure_config.max_failures))
        return decision


def as_lost_worker(error: Exception) -> Exception:
    """A worker that dies while it starts is a lost worker too; Ray Train would start it again without limit."""
    cause = getattr(error, "controller_failure", None)
    if isinstance(error, ControllerError) and isinstance(cause, WorkerGroupStartupFailedError | OutOfMemoryError):
        return WorkerGroupError(str(cause), {})
    return error


def workers_lost(failures: dict[int, Exception], restart: int | None, restarts: int) -> WorkersLost:
    """What the driver is told of lost workers before they are started again.

    Args:
        failures: by rank; empty when a worker died before the ranks were known.
        restart, restarts: as in the event.
    """
    return WorkersLost(
        ranks=sorted(of_who_hang(failures)),
        what=describe_losses(failures),
        advice=advice_for(failures.values()),
        restart=restart,
        restarts=restarts,
    )


class Loss(enum.Enum):
    """How a worker was lost; the value completes "worker 1 was lost: …". The most telling come first."""

    MEMORY = "the machine ran out of memory"
    MACHINE = "the machine left the cluster"
    PREEMPTED = "the machine was taken back"
    SILENT = "the process or its machine does not answer"
    HUNG = "its training has stopped moving"
    DIED = "killed (signal 9, or by the system for lack of memory) or crashed"
    UNKNOWN = ""
    PEER = "the connection to the others broke"  # told of workers that are well


MEMORY_ADVICE = (
    "to need less memory: a smaller train.batch_size, or fewer workers on a machine "
    "(a larger scaling.cpus_per_worker, a smaller scaling.num_workers)"
)
HANG_ADVICE = "if nothing hung and it was only slow: a larger run.hang_timeout"


def loss_of(failure: Exception) -> Loss:
    """How a worker that failed with this error was lost."""
    cause = cause_of(failure)
    if isinstance(cause, PeerLostError):
        return Loss.PEER
    if isinstance(cause, HungError):
        return Loss.HUNG
    if isinstance(cause, OutOfMemoryError):
        return Loss.MEMORY
    if isinstance(cause, ActorUnavailableError | WorkerHealthCheckTimeoutError):
        return Loss.SILENT
    if isinstance(cause, RayActorError):
        if cause.preempted:
            return Loss.PREEMPTED
        return Loss.MACHINE if "its node has died" in str(cause) else Loss.DIED
    return Loss.UNKNOWN


def describe_losses(failures: dict[int, Exception]) -> str:
    """``worker 1 was lost: the machine ran out of memory (22.9GB of 23.5GB were used)``.

    Workers that only lost the connection to a lost one are left out. Where they are all that is known, they say whom
    they lost: one that was stopped, or whose network broke, which Ray has not noticed yet.
    """
    failures = of_who_hang(failures)
    missing = sorted({rank for failure in failures.values() for rank in getattr(cause_of(failure), "peers", ())})
    missing = [rank for rank in missing if rank not in failures] or missing  # those who told are there
    if missing and {loss_of(failure) for failure in failures.values()} == {Loss.PEER}:
        return f"{were_lost(missing)}: the connection to {'it' if len(missing) == 1 else 'them'} broke"
    losses = {rank: loss_of(failure) for rank, failure in sorted(failures.items())}
    if not losses:
        return "a worker was lost while it started"
    causes: list[str] = []
    for loss in Loss:
        ranks = [rank for rank, one in losses.items() if one is loss]
        if not ranks or (loss is Loss.PEER and causes):
            continue
        causes.append(f"{were_lost(ranks)}: {loss_text(failures[ranks[0]])}")
    return "; ".join(causes)


def of_who_hang(failures: dict[int, Exception]) -> dict[int, Exception]:
    """Where a worker waits for others that do not answer, its failure is theirs."""
    told: dict[int, Exception] = {}
    for rank, failure in failures.items():
        for one in getattr(cause_of(failure), "waits_for", ()) or (rank,):
            told[one] = failures.get(one, failure)
    return told


def loss_text(failure: Exception) -> str:
    """``the machine ran out of memory (22.9GB of 23.5GB were used)``."""
    loss, cause = loss_of(failure), cause_of(failure)
    if loss is Loss.UNKNOWN:
        return " ".join(f"{type(cause).__name__}: {cause}".split())[:200]
    if loss is Loss.HUNG:
        return f"{loss.value} ({cause})"
    return loss.value + (memory_used(str(cause)) if loss is Loss.MEMORY else "")


def advice_for(failures: Iterable[Exception]) -> str | None:
    """What the user can change, where that is known."""
    losses = set(map(loss_of, failures))
    if Loss.MEMORY in losses:
        return MEMORY_ADVICE
    return HANG_ADVICE if losses & {Loss.HUNG, Loss.SILENT} else None


def were_lost(ranks: list[int]) -> str:
    """``worker 1 was lost`` or ``workers 0, 1 and 3 were lost``."""
    return f"{numbered(ranks)} {'was' if len(ranks) == 1 else 'were'} lost"


def memory_used(message: str) -> str:
    """The sizes in the message of Ray's memory monitor, in parentheses; empty where there are none."""
    found = re.search(r"was ([\d.]+ ?GB)(?: used)? / ([\d.]+ ?GB)", message)
    return f" ({found[1]} of {found[2]} were used)" if found else ""


def is_final(worker_failures: dict[int, Exception]) -> bool:
    """Whether one of the workers raised an error of its own, rather than dying or losing a peer."""
    return any(isinstance(cause_of(failure), RequestError | TrainingError) for failure in worker_failures.values())


def is_drained(worker_failures: dict[int, Exception]) -> bool:
    """Whether the workers have kept a checkpoint and left, as they were asked to."""
    return any(isinstance(cause_of(failure), DrainedError) for failure in worker_failures.values())


def cause_of(failure: Exception) -> Exception:
    """What a worker raised or died of, without Ray Train's wrapping."""
    inner = getattr(failure, "_base_exc", None) or getattr(failure, "health_check_failure", None)
    return inner if isinstance(inner, Exception) else failure
