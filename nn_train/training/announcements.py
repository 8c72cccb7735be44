"""What Ray Train's controller announces: that workers start, what they wait for, and what the chief reports.

Who hears it is in ``event_socket``; lost workers are told by ``failures``, a change of their number by ``scaling``.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import ray
from ray.train import UserCallback
from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from ray.train.v2._internal.execution.worker_group import WorkerGroupContext

from nn_train.config.schema import ScalingConfig
from nn_train.events import Handler, Started, Starting, Waiting
from nn_train.ray_cluster.placement import is_waiting, waiting_for

BEGUN: set[str] = set()  # in the controller: the names of the runs that its workers have begun
TELL_AFTER = 3.0  # seconds; workers that have room get it in a fraction of one


class ForwardReports(UserCallback):
    """In the controller: passes on what the chief reported."""

    def __init__(self, tell: Handler) -> None:
        self.tell = tell

    def after_report(self, run_context: object, metrics: list[dict[str, Any]], checkpoint: object) -> None:
        event = metrics[0]["event"]
        if isinstance(event, Started):
            BEGUN.add(event.run)
        self.tell(event)


class AnnounceWorkers(WorkerGroupCallback):
    """In the controller: tells that workers start, and, once, that they wait."""

    def __init__(self, scaling: ScalingConfig, tell: Handler) -> None:
        self.scaling, self.tell = scaling, tell
        self.waiting = False

    @contextlib.contextmanager
    def on_worker_group_start(self) -> Iterator[None]:
        job = ray.get_runtime_context().get_job_id()
        timer = threading.Timer(TELL_AFTER, self.tell_if_waiting, args=(job,))
        timer.daemon = True
        timer.start()
        try:
            yield
            self.waiting = False
        finally:
            timer.cancel()

    def before_worker_group_start(self, worker_group_context: WorkerGroupContext) -> None:
        if not self.waiting:  # Ray Train gives up after a minute without room, and begins again
            self.tell(Starting(worker_group_context.num_workers))

    def tell_if_waiting(self, job: str) -> None:
        if not self.waiting and is_waiting(ray.util.placement_group_table(), job):
            self.waiting = True
            self.tell(Waiting(waiting_for(self.scaling, ray.cluster_resources(), ray.available_resources())))
