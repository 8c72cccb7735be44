"""The Ray Train side of a run: workers placed, started, watched and restarted."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from typing import Any

import ray
import ray.train
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from nn_train.config import Config
from nn_train.errors import RequestError, TrainingError
from nn_train.runs import RunFolder
from nn_train.training.cluster import check_placeable, resources_per_worker
from nn_train.training.driver import OnEvent, command_line, scratch_folder
from nn_train.training.events import AnnounceWorkers, ForwardReports, Handler, event_listener, send
from nn_train.training.failures import (
    PeerLostError,
    RetryLostWorkers,
    advice_for,
    as_lost_worker,
    cause_of,
    describe_losses,
    is_lost_peer,
    loss_text,
    own_traceback,
)
from nn_train.training.rendezvous import MwmsConfig
from nn_train.training.worker import Job, run_worker


def train_function(settings: dict[str, Any]) -> None:
    """Runs in every worker, in a thread of Ray Train's.

    Only this package's errors leave a worker: an error of TensorFlow's or of the user's own could not be
    unpickled in the controller without importing what defines it.
    """
    if settings["verbose"]:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0")
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    try:
        run_worker(settings["job"], rank, size, ray.train.report)
    except (RequestError, TrainingError):
        raise
    except Exception as error:
        if is_lost_peer(error):
            raise PeerLostError(f"worker {rank} lost another worker: {str(error)[:200]}") from None
        raise TrainingError(f"worker {rank} failed:\n{own_traceback(error)}") from None


class Trainer(DataParallelTrainer):
    """Ray Train's trainer without the parts that make a short job slow or take the interrupt key away.

    Args:
        tell: sends an event to the driver; called in the controller.
        arguments: as Ray Train's.
    """

    def __init__(self, *arguments: Any, tell: Handler, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.tell = tell

    def _create_default_callbacks(self) -> list[Any]:
        # The cleaner's stop waits 12 s at the end of every run (Ray 2.60). What it is there for, a placement
        # group that outlives its controller, is done by Ray itself: the group belongs to the controller actor.
        callbacks = super()._create_default_callbacks()
        return [one for one in callbacks if not isinstance(one, PlacementGroupCleanerCallback)]

    def _initialize_and_run_controller(self, **arguments: Any) -> Any:
        arguments["failure_policy"] = RetryLostWorkers(self.run_config.failure_config, self.tell)
        return super()._initialize_and_run_controller(**arguments)

    def _register_sigint_handler(self, controller: Any) -> None:
        self.controller = controller  # Ctrl-C stays a KeyboardInterrupt; see run_on_ray

    def abort(self) -> None:
        """Stop the workers and the controller."""
        # AttributeError: not started yet; RayError: the controller ends itself by the abort.
        with contextlib.suppress(AttributeError, ray.exceptions.RayError):
            ray.get(self.controller.abort.remote(), timeout=10)


def run_on_ray(config: Config, folder: RunFolder, started_at: float, on_event: OnEvent, verbose: bool) -> None:
    """Run the workers to the end. See ``train`` for what is raised."""
    check_placeable(config.scaling)
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")  # 2 s by default: felt at the end of every run
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    job = Job(config=config, folder=folder, command=command_line(), started_at=started_at)
    scratch = scratch_folder()
    with event_listener(on_event) as address:
        tell = functools.partial(send, address)
        trainer = Trainer(
            train_function,
            tell=tell,
            train_loop_config={"job": job, "verbose": verbose},
            backend_config=MwmsConfig(),
            scaling_config=ray.train.ScalingConfig(
                num_workers=config.scaling.num_workers,
                use_gpu=config.scaling.use_gpu,
                resources_per_worker=resources_per_worker(config.scaling),
            ),
            run_config=ray.train.RunConfig(
                name=config.title,
                storage_path=scratch,
                failure_config=ray.train.FailureConfig(max_failures=config.run.max_failures),
                callbacks=[ForwardReports(tell), AnnounceWorkers(config.scaling, tell)],
            ),
        )
        try:
            trainer.fit()
        except KeyboardInterrupt:
            trainer.abort()
            again = "the same command" + (" without --run.overwrite" if config.run.overwrite else "")
            raise KeyboardInterrupt(f"The run in {folder.location} goes on from its last epoch with {again}.") from None
        except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
            raise explain(error, folder, config.run.max_failures) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def explain(error: Exception, folder: RunFolder, restarts: int) -> Exception:
    """The error that a person should see: the worker's own where there is one.

    Args:
        error: what Ray Train ended with.
        folder: the run.
        restarts: how many there could be.
    """
    lost = as_lost_worker(error)
    failures: dict[int, Exception] | None = getattr(lost, "worker_failures", None)
    if failures is None:
        cause = getattr(error, "controller_failure", error)
        what = f"the process that watches the workers failed: {loss_text(cause)}"
        failures = {0: cause}
    else:
        what = f"{describe_losses(failures)}, and no restart is left (run.max_failures {restarts})"
    for failure in failures.values():
        cause = cause_of(failure)
        if isinstance(cause, RequestError | TrainingError):
            return cause
    advice = advice_for(failures.values())
    return TrainingError(
        f"{what}{f'; {advice}' if advice else ''}. The run in {folder.location} goes on from its last epoch with the "
        "same command"
    )
