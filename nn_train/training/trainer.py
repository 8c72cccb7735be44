"""Ray Train's trainer and controller without what makes a short job slow or takes the interrupt key away."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import ray
from ray.exceptions import RayError
from ray.runtime_context import RuntimeContext
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.placement_group import PlacementGroup, remove_placement_group

from nn_train.config.schema import ScalingConfig
from nn_train.engine.monkeypatch import environment, replaced
from nn_train.events import Handler
from nn_train.runs.watchdog import PATIENT
from nn_train.training.failures import RetryLostWorkers
from nn_train.training.scaling import RoomPolicy

# An interrupt may come when Ray has made this coroutine, and not yet its task: its warning is no news to the user.
warnings.filterwarnings("ignore", r"coroutine 'CheckpointManager\._notify", RuntimeWarning)

# Callbacks of Ray Train's that are left out, by the names of their classes. The first one's stop waits 12 s at the end
# of every run (Ray 2.60); what it is there for, a placement group that outlives its controller, is done by
# ray_train.no_group_left. The second starts a process for data sets that nobody has. The third changes the workers'
# folder.
UNWANTED = {"PlacementGroupCleanerCallback", "DatasetsCallback", "WorkingDirectorySetupCallback"}
METRICS = {"ControllerMetricsCallback", "WorkerMetricsCallback"}  # for people who watch a cluster
# Ray Train's settings are set for a moment alone: it would hand them to the workers, and a worker that has an
# environment of its own cannot be one of the processes that Ray has started in advance.
WITHIN = 0.95  # of the time-out: Ray notices it at the next look
RELEASED_AFTER = 0.5  # seconds until Ray tells that ended workers' resources are free


class Workers(WorkerGroup):
    """Ray Train's, where a worker that does not answer is given up after ``run.hang_timeout`` and not ten minutes.

    Attributes:
        polled: called with the workers each time they have been asked.
    """

    polled: Callable[[WorkerGroup], None] = staticmethod(lambda workers: None)

    def __init__(self, train_run_context: Any, *arguments: object, **named: object) -> None:
        self.timeout = train_run_context.train_loop_config["hang_timeout"]
        with environment(RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S=str(WITHIN * self.timeout)):
            super().__init__(train_run_context, *arguments, **named)

    def _create_workers(self, number: int, placement_group: PlacementGroup, *arguments: object, **named: object) -> Any:
        """Begin to limit the start: Ray Train waits for ever for a worker that stands still before it trains."""
        self.limit = threading.Timer(PATIENT * self.timeout, end_workers_of, args=(placement_group,))
        self.limit.daemon = True
        self.limit.start()
        return super()._create_workers(number, placement_group, *arguments, **named)

    def poll_status(self, *arguments: object, **named: object) -> Any:
        """From now on Ray Train asks the workers for a sign of life."""
        self.limit.cancel()
        status = super().poll_status(*arguments, **named)
        self.polled(self)
        return status


def end_workers_of(placement_group: PlacementGroup) -> None:
    """Remove what the processes have in common, without which Ray ends them. It, or Ray itself, may be gone."""
    if not ray.is_initialized():  # else Ray would start another one to remove it from
        return
    with contextlib.suppress(Exception):
        remove_placement_group(placement_group)


class Controller(TrainController):
    """Ray Train's controller in the driver, where Ray Train's is an actor: on the same machine, but in a process that
    takes 1.5 s of a processor to start and one of those that Ray has started for the workers.
    """

    worker_group_cls = Workers

    def __init__(self, **arguments: Any) -> None:
        with environment(
            RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.2",  # 2 s by default: felt at the end of every run
            RAY_TRAIN_ENABLE_PREEMPTION_WATCHER="0",  # a process of its own for what RoomPolicy does
            RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING="0",  # it would set up the driver's logging
        ):
            super().__init__(**arguments)

    def end_workers(self) -> None:
        """After an interrupt: whatever state this was left in, no worker may stay."""
        group = self.get_worker_group()
        if group is not None and group.has_started():
            with contextlib.suppress(RayError):  # Ray itself may be what failed
                group.abort()

    def end_lost_workers(self) -> None:
        """End what is left of the last workers, so that its room is free when the next ones look for theirs."""
        if self.get_worker_group() is not None:
            self._shutdown_worker_group()
            time.sleep(RELEASED_AFTER)


class Trainer(DataParallelTrainer):
    """Runs the controller above.

    Args:
        scaling: the job's.
        tell: is given the events of the controller.
        is_local: on a Ray of this job's own.
        polled: of ``Workers``.
        arguments: as Ray Train's.
    """

    def __init__(
        self,
        *arguments: object,
        scaling: ScalingConfig,
        tell: Handler,
        is_local: bool,
        polled: Callable[[WorkerGroup], None] = Workers.polled,
        **named: object,
    ) -> None:
        super().__init__(*arguments, **named)
        self.scaling, self.tell, self.is_local, self.polled = scaling, tell, is_local, polled

    def _initialize_and_run_controller(self, **arguments: Any) -> Any:
        """Run ``Controller`` to its end; Ctrl-C stays a KeyboardInterrupt, and stops the workers."""
        left_out = UNWANTED | (METRICS if self.is_local else set())
        arguments["callbacks"] = [one for one in arguments["callbacks"] if type(one).__name__ not in left_out]
        arguments["failure_policy"] = RetryLostWorkers(self.run_config.failure_config, self.tell)
        policy = RoomPolicy(self.scaling_config, self.scaling, self.tell, self.is_local)
        arguments["scaling_policy"] = policy

        class Polled(Workers):
            polled = staticmethod(self.polled)

        controller = Controller(**arguments)
        controller.worker_group_cls = Polled
        policy.end_lost_workers = controller.end_lost_workers
        try:
            with replaced(RuntimeContext, "current_actor", None):  # workers are handed it; a driver is none
                run_here(controller.run())
        except BaseException:
            controller.end_workers()
            raise
        return controller.get_result()


def run_here(work: Coroutine[Any, Any, None]) -> None:
    """Wait for what a coroutine does, also where this thread runs an event loop already, as in a notebook.

    ``asyncio.run`` would refuse that, and keep an interrupt until the coroutine waits for something.
    """
    outer = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    try:
        loop.run_until_complete(task)
    finally:
        task.cancel()  # where it was interrupted while it waited
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()
        asyncio._set_running_loop(outer)
