"""The Ray Train side of a run: workers placed, started, watched and restarted."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ray
import ray.train
from ray.train import UserCallback
from ray.train.v2._internal.execution.context import get_train_context
from ray.util.placement_group import PlacementGroup

from nn_train.config import Config
from nn_train.config.tracebacks import own_traceback
from nn_train.engine.import_tensorflow import import_tensorflow
from nn_train.engine.lost_peers import PeerLostError, is_lost_peer, lost_peers
from nn_train.errors import OtherWorkerError, RequestError, TrainingError
from nn_train.events import Event, Handler, Started, unheard
from nn_train.ray_cluster import local_ray
from nn_train.ray_cluster.placement import check_placeable, resources_per_worker
from nn_train.ray_cluster.serialization import pack, unpack
from nn_train.ray_cluster.shared_storage import check_shared
from nn_train.runs.draining import DrainedError, is_asked_to_drain
from nn_train.runs.record import read_finished
from nn_train.runs.worker import Job, WorkerContext, run_worker
from nn_train.training.failures import HungError, advice_for, as_lost_worker, cause_of, describe_losses, loss_text
from nn_train.training.rendezvous import MwmsConfig, begun_before
from nn_train.training.trainer import Trainer, Workers


def train_function(settings: dict[str, Any]) -> None:
    """Runs in every worker, in a thread of Ray Train's.

    Only this package's errors leave a worker: an error of TensorFlow's or of the user's own could not be
    unpickled in the controller without importing what defines it.
    """
    if settings["verbose"]:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"  # whatever a driver that imports TensorFlow has set
    # ray.train.get_context and ray.train.report would import Ray Tune, to know whether that is where they are.
    here = get_train_context()
    rank, size = here.get_world_rank(), here.get_world_size()
    errors = here.execution_context.training_thread_runner.get_exception_queue()

    def report(event: Event) -> None:
        here.report({"event": event})

    def tell_hang(seconds: float, waits_for: tuple[int, ...]) -> None:
        errors.put(HungError(f"nothing of it has ended for {seconds:.0f} s", waits_for))

    try:
        import_tensorflow()
        unpack(settings["parcel"])
        context = WorkerContext(report, tell_hang, is_asked_to_drain, begun_before())
        run_worker(settings["jobs"], rank, size, context)
    except (RequestError, TrainingError, DrainedError):
        raise
    except Exception as error:
        if is_lost_peer(error):
            text = f"worker {rank} lost another worker: {str(error)[:200]}"
            raise PeerLostError(text, lost_peers(error, rank)) from None
        raise TrainingError(f"worker {rank} failed:\n{own_traceback(error)}") from None


class ForwardReports(UserCallback):
    """In the controller, which runs in the driver: passes on what the chief reported.

    Args:
        tell: is given the events.
        begun: gets the names of the runs that the workers have begun.
    """

    def __init__(self, tell: Handler, begun: set[str]) -> None:
        self.tell, self.begun = tell, begun

    def __reduce__(self) -> tuple[Any, ...]:
        return ForwardReports, (unheard, set())  # Ray Train sends it to the workers as well, which do not call it

    def after_report(self, run_context: object, metrics: list[dict[str, Any]], checkpoint: object) -> None:
        event = metrics[0]["event"]
        if isinstance(event, Started):
            self.begun.add(event.run)
        self.tell(event)


def run_on_ray(jobs: Sequence[Job], on_event: Handler, verbose: bool) -> None:
    """Train all jobs in turn on the workers that the first one asks for. See ``train`` for what is raised."""
    config = jobs[0].config
    check_placeable(config.scaling)
    check_shared(jobs[0].folder, config.scaling)
    parcel = pack([name for job in jobs for name in job.config.functions.values()])
    backend = MwmsConfig(config.scaling.port_range)

    def tell(event: Event) -> None:
        try:
            on_event(event)
        except Exception:  # a broken handler must not stop the run, nor hide that it is broken
            traceback.print_exc()

    settings = {"jobs": jobs, "verbose": verbose, "parcel": parcel}
    try:
        run_workers(train_function, settings, config, backend, tell, callbacks=[ForwardReports(tell, backend.begun)])
    except KeyboardInterrupt:
        again = "the same command" + (" without --run.overwrite" if config.run.overwrite else "")
        raise KeyboardInterrupt(f"{unfinished(jobs)} from the last checkpoint with {again}.") from None
    except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
        raise explain(error, unfinished(jobs), config.run.max_failures) from error


def run_workers(
    function: Callable[[dict[str, Any]], None],
    settings: Mapping[str, Any],
    config: Config,
    backend: MwmsConfig,
    tell: Handler,
    callbacks: Sequence[UserCallback] = (),
    polled: Callable[[Any], None] = Workers.polled,
) -> None:
    """Call a function with settings in all workers of a config, again where workers are lost. Raises what Ray raises.

    Args:
        function, settings: importable by the workers, and picklable.
        config: its ``scaling``, ``run`` and name.
        backend: how the workers find each other.
        tell: is given the events of the controller.
        callbacks: of Ray Train's controller.
        polled: of ``Workers``.
    """
    scratch = scratch_folder()
    trainer = Trainer(
        function,
        scaling=config.scaling,
        tell=tell,
        is_local=local_ray.is_running(),
        polled=polled,
        train_loop_config={**settings, "hang_timeout": config.run.hang_timeout},
        backend_config=backend,
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.scaling.num_workers,
            use_gpu=config.scaling.use_gpu,
            resources_per_worker=resources_per_worker(config.scaling),
        ),
        run_config=ray.train.RunConfig(
            name=config.job_name,
            storage_path=scratch,
            failure_config=ray.train.FailureConfig(max_failures=config.run.max_failures),
            callbacks=list(callbacks),
        ),
    )
    try:
        with no_group_left():
            trainer.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def no_group_left() -> Iterator[None]:
    """Remove the placement groups that a failed run leaves.

    Ray removes a group when the job that made it is gone. A run that was interrupted while it started would otherwise
    hold its CPUs until this process ends, and the next run in it would wait for them.
    """
    known = set(ray.util.placement_group_table())
    try:
        yield
    except BaseException:
        with contextlib.suppress(ray.exceptions.RayError):  # Ray itself may be what failed
            for key in set(ray.util.placement_group_table()) - known:
                ray.util.remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(key))))
        raise


def unfinished(jobs: Sequence[Job]) -> str:
    """``The run in results/mnist_mlp goes on``: the beginning of what can be done about an end before the end."""
    places = [job.folder.location for job in jobs if job.config.run.overwrite or read_finished(job.folder) is None]
    if len(places) > 1:
        return f"The {len(places)} open runs, from {places[0]} to {places[-1]}, go on"
    return f"The run in {(places or [jobs[-1].folder.location])[0]} goes on"


def explain(error: Exception, what_goes_on: str, restarts: int) -> Exception:
    """The error that a person should see: the worker's own where there is one.

    Args:
        error: what Ray Train ended with.
        what_goes_on: as ``unfinished`` gives it.
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
    # One that only knows that another could not go on says least.
    for cause in sorted(map(cause_of, failures.values()), key=lambda one: isinstance(one, OtherWorkerError)):
        if isinstance(cause, RequestError | TrainingError):
            return cause
    advice = advice_for(failures.values())
    return TrainingError(
        f"{what}{f'; {advice}' if advice else ''}. {what_goes_on} from the last checkpoint with the same command"
    )


def scratch_folder() -> str:
    """Where Ray Train keeps what it insists on writing; nothing of it is part of the run."""
    return tempfile.mkdtemp(prefix="nn-train-")
