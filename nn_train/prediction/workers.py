"""Processes that predict: Ray actors, each with TensorFlow and its threads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nn_train.config.schema import ScalingConfig
from nn_train.errors import RequestError, TrainingError
from nn_train.ray_cluster.guard import Guard
from nn_train.ray_cluster.parcels import unpack

SCORER = "nn_train.prediction.scorer"
HANG_TIMEOUT = 600.0  # seconds after which a worker that stands still is ended; a user's data may take minutes


def start_workers(scaling: ScalingConfig, size: int, parcel: bytes) -> list[Any]:
    """Actors that predict, with the user's code of ``parcel_for``.

    Ray starts a lost one again and repeats its call, which gives the same numbers.
    """
    import ray

    class Scorer:
        def __init__(self, threads: int, use_gpu: bool, hang_timeout: float, parcel: bytes) -> None:
            from nn_train.prediction.scorer import prepare_process

            self.guard = Guard(hang_timeout)
            prepare_process(threads, use_gpu)
            self.parcel: bytes | None = parcel

        def run(self, function: Callable[..., Any], *given: Any) -> Any:
            if self.parcel is not None:
                unpack(self.parcel)
                self.parcel = None
            return function(*given)

    threads = max(1, math.floor(scaling.cpus_per_worker))
    placed = ray.remote(
        max_restarts=3,
        max_task_retries=3,
        num_cpus=scaling.cpus_per_worker,
        num_gpus=scaling.gpus_per_worker if scaling.use_gpu else 0,
    )(Scorer)
    return [placed.remote(threads, scaling.use_gpu, HANG_TIMEOUT, parcel) for _ in range(size)]


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
