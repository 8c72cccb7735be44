"""Processes that predict: Ray actors, each with TensorFlow and its threads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nn_train.config.schema import ScalingConfig
from nn_train.errors import RequestError, TrainingError
from nn_train.ray_cluster.guard import Guard
from nn_train.ray_cluster.serialization import unpack

HANG_TIMEOUT = 600.0  # seconds after which a worker that stands still is ended; a user's data may take minutes


@dataclass(frozen=True)
class Worker:
    """An actor, and a reference to the user's code, which goes with every call: Ray starts a lost actor again, and
    would not find a large argument of the first start any more."""

    actor: Any
    parcel: Any

    def run(self, function: Callable[..., Any], *given: Any) -> Any:
        """A reference to what a function gives there."""
        return self.actor.run.remote(self.parcel, function, *given)


def start_workers(scaling: ScalingConfig, size: int, parcel: bytes) -> list[Worker]:
    """Actors that predict, with the user's code of ``parcel_for``.

    Ray starts a lost one again and repeats its call, which gives the same numbers.
    """
    import ray

    class Scorer:
        def __init__(self, threads: int, use_gpu: bool, hang_timeout: float) -> None:
            from nn_train.engine.import_tensorflow import import_tensorflow

            self.guard = Guard(hang_timeout)
            import_tensorflow()
            from nn_train.engine.strategy import configure_tensorflow

            configure_tensorflow(threads, use_gpu)
            self.is_unpacked = False

        def run(self, parcel: bytes, function: Callable[..., Any], *given: Any) -> Any:
            if not self.is_unpacked:
                unpack(parcel)
                self.is_unpacked = True
            return function(*given)

    threads = max(1, math.floor(scaling.cpus_per_worker))
    placed = ray.remote(
        max_restarts=3,
        max_task_retries=3,
        num_cpus=scaling.cpus_per_worker,
        num_gpus=scaling.gpus_per_worker if scaling.use_gpu else 0,
    )(Scorer)
    sent = ray.put(parcel)
    return [Worker(placed.remote(threads, scaling.use_gpu, HANG_TIMEOUT), sent) for _ in range(size)]


def answers(calls: list[Any], name: str) -> list[Any]:
    """What all workers answer; their errors in words, with the ``name`` of the run that they predict with."""
    import ray

    try:
        found: list[Any] = ray.get(calls)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, RequestError | TrainingError):
            raise type(cause)(f"{name}: {cause}") from error
        raise TrainingError(f"{name}: a worker failed:\n{error}") from error
    except ray.exceptions.RayError as error:
        raise TrainingError(f"{name}: the workers died too often: {error}") from error
    return found
