"""How many workers a training has: between ``scaling.min_workers`` and ``scaling.num_workers``, as there is room.

The controller looks at the cluster while workers train. When their machine announces its end (a drain, a spot notice),
or when there is room for more of them, it asks them to leave (``nn_train.runs.draining``) and starts others.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from ray._private.state import state
from ray.train.v2._internal.execution.scaling_policy import NoopDecision, ResizeDecision
from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy

from nn_train.config.schema import ScalingConfig
from nn_train.config.wording import numbered
from nn_train.events import Handler, Leaving, Starting, Waiting
from nn_train.ray_cluster.placement import (
    is_anyone_waiting,
    is_waiting,
    resources_per_worker,
    room_for_workers,
    size_for_room,
    waiting_for,
)
from nn_train.runs.draining import ask_to_drain

LOOK_EVERY = 1.0  # seconds
TELL_AFTER = 3.0  # seconds; workers that have room get it in a fraction of one
# Seconds from the start of workers to a restart with more of them, which costs about ten.
GROW_AFTER = 60.0
ROOM_FOR = 10  # looks in a row at which there is room: that between two trials of a search beside is none


class RoomPolicy(FixedScalingPolicy):
    """Ray Train's policy of a fixed number, with a range instead, and without the autoscaler on a local Ray.

    Ray's own elastic policy asks Ray Data's coordinator what is reserved for it, which takes seconds to start, and
    ends workers wherever they are.

    Args:
        ray_scaling: Ray Train's settings.
        scaling: this package's.
        tell: sends an event to the driver.
        is_local: on a Ray of this job's own. It has no autoscaler, and the process that would be asked takes seconds
            to start; and it has one machine, which neither grows nor leaves.

    Attributes:
        end_lost_workers: called before the room for workers is looked for.
    """

    end_lost_workers: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, ray_scaling: ray.train.ScalingConfig, scaling: ScalingConfig, tell: Handler, is_local: bool):
        super().__init__(ray_scaling)
        self.scaling, self.tell, self.is_local = scaling, tell, is_local
        self.grow_after, self.room_for = GROW_AFTER, ROOM_FOR  # as they are where the job was started
        self.seen_room = 0
        self.looked = 0.0
        self.asked = self.waiting = False
        self.patience: threading.Timer | None = None

    def after_controller_start(self, train_run_context: object) -> None:
        if not self.is_local:
            super().after_controller_start(train_run_context)

    def _maybe_send_resource_request(self) -> None:
        if not self.is_local:
            super()._maybe_send_resource_request()

    def make_decision_for_non_running_worker_group(self) -> ResizeDecision:
        """Start as many workers as there is room for, at least ``least_workers``: Ray then waits for their room."""
        self.end_lost_workers()
        self._maybe_send_resource_request()
        self.asked, self.seen_room = False, 0
        size = size_for_room(self.scaling)
        if not self.waiting:  # Ray Train gives up after a minute without room, and begins again
            self.tell(Starting(size))
            self.patience = threading.Timer(TELL_AFTER, self.tell_if_waiting)
            self.patience.daemon = True
            self.patience.start()
        return ResizeDecision(num_workers=size, resources_per_worker=resources_per_worker(self.scaling))

    def tell_if_waiting(self) -> None:
        """Say once for what the workers wait, if they do."""
        if not ray.is_initialized():  # the training has ended: whatever is asked of Ray now would start another one
            return
        with contextlib.suppress(Exception):  # it may end meanwhile
            self.waiting = is_waiting(ray.util.placement_group_table(), ray.get_runtime_context().get_job_id())
            if self.waiting:
                self.tell(Waiting(waiting_for(self.scaling, ray.cluster_resources(), ray.available_resources())))

    def make_decision_for_running_worker_group(
        self, worker_group_state: Any, worker_group_status: object
    ) -> NoopDecision:
        """Never resize at once, which would lose what was done since the last checkpoint: ask the workers to leave."""
        self.waiting = False
        if self.patience:
            self.patience.cancel()
        self._maybe_send_resource_request()
        now = time.monotonic()
        if not self.is_local and not self.asked and now - self.looked >= LOOK_EVERY:
            self.looked = now
            why = None
            with contextlib.suppress(Exception):  # a GCS that does not answer now is no reason to end a training
                why = self.reason_to_drain(worker_group_state)
            if why:
                self.asked = True
                worker_group_state.workers[0].execute_async(ask_to_drain)
                self.tell(Leaving(why))
        return NoopDecision()

    def reason_to_drain(self, workers: Any) -> str | None:
        """Why other workers should go on, or None."""
        leaving = state.get_draining_nodes()
        struck = [rank for rank, worker in enumerate(workers.workers) if worker.metadata.node_id in leaving]
        if struck:
            return f"the machine of {numbered(struck)} is about to leave the cluster"
        size = workers.num_workers
        if size == self.scaling.num_workers or time.monotonic() - workers.start_time < self.grow_after:
            return None
        more = room_for_workers(self.scaling)
        # Who waits for that room gets it first: to leave for it would be to lose one's own.
        self.seen_room = self.seen_room + 1 if more and not is_anyone_waiting() else 0
        if self.seen_room < self.room_for:
            return None
        return f"there is room for {min(size + more, self.scaling.num_workers)} workers"
