"""Ray Train's trainer and controller without what makes a short job slow or takes the interrupt key away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import warnings
from collections.abc import Coroutine, Iterator
from typing import Any

from ray.exceptions import RayError
from ray.runtime_context import RuntimeContext
from ray.train.v2._internal.callbacks import WorkingDirectorySetupCallback
from ray.train.v2._internal.callbacks.metrics import ControllerMetricsCallback, WorkerMetricsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.controller.state import RestartingState
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2._internal.execution.worker_group.worker import RayTrainWorker
from ray.train.v2.api import data_parallel_trainer
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.placement_group import remove_placement_group

from nn_train.config.schema import ScalingConfig
from nn_train.events import Handler
from nn_train.ray_cluster.guard import Guard
from nn_train.ray_cluster.replaced import replaced
from nn_train.runs.watchdog import PATIENT
from nn_train.training.failures import RetryLostWorkers
from nn_train.training.reports import leave_barrier_out
from nn_train.training.scaling import RoomPolicy

# An interrupt may come when Ray has made this coroutine, and not yet its task: its warning is no news to the user.
warnings.filterwarnings("ignore", r"coroutine 'CheckpointManager\._notify", RuntimeWarning)


class NoDatasets:
    """In the place of ``DatasetsCallback``, which imports Ray Data and starts a process for its data sets."""

    def __init__(self, **named: object) -> None:
        """Nothing: it is left out."""


# The cleaner's stop waits 12 s at the end of every run (Ray 2.60). What it is there for, a placement group that
# outlives its controller, ray_train.no_group_left does. Another changes the workers' folder.
UNWANTED = (PlacementGroupCleanerCallback, NoDatasets, WorkingDirectorySetupCallback)
WITHIN = 0.95  # of the time-out: Ray notices it at the next look
RELEASED_AFTER = 0.5  # seconds until Ray tells that ended workers' resources are free
# For people who watch a cluster.
METRICS = (ControllerMetricsCallback, WorkerMetricsCallback)


class GuardedWorker(RayTrainWorker):
    """Ray Train's, which is ended when it stands still while it starts: then it is waited for without a limit."""

    hang_timeout: float  # seconds; set by ``guarded_worker``

    def __init__(self) -> None:
        super().__init__()
        self.guard = Guard(self.hang_timeout)

    def run_train_fn(self, *arguments: object, **named: object) -> Any:
        self.guard.change(PATIENT * self.hang_timeout)  # from now on Ray Train asks it for a sign of life
        return super().run_train_fn(*arguments, **named)


def guarded_worker(hang_timeout: float) -> type[GuardedWorker]:
    """The worker of one job, under the name that the processes of Ray Train's have."""
    return type(RayTrainWorker.__name__, (GuardedWorker,), {"hang_timeout": hang_timeout})


class Workers(WorkerGroup):
    """Ray Train's, where a worker that does not answer is given up after ``run.hang_timeout`` and not ten minutes."""

    def __init__(self, train_run_context: Any, *arguments: Any, **named: Any) -> None:
        super().__init__(train_run_context, *arguments, **named)
        run = train_run_context.train_loop_config["jobs"][0].config.run
        self._worker_health_check_timeout_s = WITHIN * run.hang_timeout
        self._worker_cls = guarded_worker(run.hang_timeout)
        self.start_limit = PATIENT * run.hang_timeout

    def _create_workers(self, num_workers: int, placement_group: object, *arguments: object, **named: object) -> Any:
        """Create the workers within a limit: one that stands still before it has a guard is not noticed.

        What the processes have in common is their placement group. Without it Ray ends them.
        """
        timer = threading.Timer(self.start_limit, remove_placement_group, args=(placement_group,))
        timer.daemon = True
        timer.start()
        try:
            return super()._create_workers(num_workers, placement_group, *arguments, **named)
        finally:
            timer.cancel()

    def _init_train_context_on_workers(self, *arguments: object, **named: object) -> None:
        """Without a handle of the controller, which is no actor. Only what we do not use asks it."""
        with outside_actors():
            super()._init_train_context_on_workers(*arguments, **named)


class Controller(TrainController):
    """Ray Train's controller with settings that it reads from the environment, which stay out of the workers' one:
    a worker with an environment of its own cannot be one of the processes that Ray has started in advance.

    It runs in the driver, where Ray Train's is an actor: on the same machine, but in a process that takes 1.5 s of a
    processor to start and one of those that Ray has started for the workers.
    """

    worker_group_cls = Workers

    def __init__(self, **arguments: Any) -> None:
        settings = {
            "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # 2 s by default: felt at the end of every run
            "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process of its own for what RoomPolicy does
            "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",  # it would set up the driver's logging
        }
        given = {name: value for name, value in settings.items() if name not in os.environ}
        os.environ.update(given)
        leave_barrier_out()
        try:
            super().__init__(**arguments)
        finally:
            for name in given:
                del os.environ[name]

    def end_workers(self) -> None:
        """After an interrupt: whatever state this was left in, no worker may stay."""
        group = self.get_worker_group()
        if group is not None and group.has_started():
            with contextlib.suppress(RayError):  # Ray itself may be what failed
                group.abort()

    async def _step(self) -> Any:
        """End what is left of the last workers before the room for the next ones is looked at, not after."""
        if isinstance(self.get_state(), RestartingState):
            if self.get_worker_group() is not None:
                self._shutdown_worker_group()
            await asyncio.sleep(RELEASED_AFTER)
        return await super()._step()


class Trainer(DataParallelTrainer):
    """Runs the controller above.

    Args:
        scaling: the job's.
        tell: sends an event to the driver; called in the controller.
        is_local: on a Ray of this job's own.
        arguments: as Ray Train's.
    """

    def __init__(self, *arguments: Any, scaling: ScalingConfig, tell: Handler, is_local: bool, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.scaling, self.tell, self.is_local = scaling, tell, is_local

    def _create_default_callbacks(self) -> list[Any]:
        left_out = UNWANTED + (METRICS if self.is_local else ())
        with replaced(data_parallel_trainer, "DatasetsCallback", NoDatasets):
            return [one for one in super()._create_default_callbacks() if not isinstance(one, left_out)]

    def _initialize_and_run_controller(self, **arguments: object) -> Any:
        """Run ``Controller`` to its end; Ctrl-C stays a KeyboardInterrupt, and stops the workers."""
        arguments["failure_policy"] = RetryLostWorkers(self.run_config.failure_config, self.tell)
        arguments["scaling_policy"] = RoomPolicy(self.scaling_config, self.scaling, self.tell, self.is_local)
        controller = Controller(**arguments)
        try:
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


@contextlib.contextmanager
def outside_actors() -> Iterator[None]:
    """Meanwhile Ray says None where one asks for the actor that one is in, and does not raise an error."""
    with replaced(RuntimeContext, "current_actor", None):
        yield
