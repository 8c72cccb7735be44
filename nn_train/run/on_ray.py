"""A script on a Ray cluster: its workers are placed, watched and replaced as those of a training.

In each of Ray Train's workers the script is a process of its own, as on one machine, which ends with that worker.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import sys
import time
from collections import deque
from typing import Any

import ray
from ray.exceptions import RayError
from ray.train import TrainingFailedError
from ray.train.v2._internal.execution.context import get_train_context

from nn_train.config import Config
from nn_train.config.schema import RunConfig, ScalingConfig
from nn_train.engine import addresses
from nn_train.engine.lost_peers import PeerLostError
from nn_train.errors import EXIT_DONE, RequestError, TrainingError
from nn_train.events import Event, Leaving
from nn_train.ray_cluster.placement import check_placeable
from nn_train.run.arguments import Asked
from nn_train.run.environment import THREADS
from nn_train.run.launcher import GRACE, Worker, shell_code
from nn_train.run.script import LOST
from nn_train.training.failures import as_lost_worker, cause_of, describe_losses
from nn_train.training.progress import Progress
from nn_train.training.ray_train import run_workers
from nn_train.training.rendezvous import MwmsConfig

told: deque[bytes] = deque()  # in a worker: lines that the driver has not fetched yet


class ScriptError(TrainingError):
    """The script has failed by itself, as it would again.

    Args:
        rank: of the worker.
        code: as Popen has it.
        lines: the last that it said.
    """

    def __init__(self, rank: int, code: int, lines: bytes) -> None:
        super().__init__(rank, code, lines)  # so that it can be pickled
        self.rank, self.code, self.lines = rank, code, lines


def launch_on_ray(asked: Asked) -> int:
    """Run the script on workers of the Ray that is joined; return its exit code. Raises RequestError, TrainingError."""
    scaling = ScalingConfig(num_workers=asked.workers, cpus_per_worker=asked.cpus_per_worker, use_gpu=asked.use_gpu)
    config = Config(name="script", scaling=scaling, run=RunConfig(max_failures=asked.restarts))
    progress = Progress(config, sys.stderr)

    def tell(event: Event) -> None:
        if not isinstance(event, Leaving):  # a script is not asked to
            progress(event)

    seed = os.environ.get("PYTHONHASHSEED", str(random.getrandbits(32)))
    settings = {"asked": asked, "folder": os.getcwd(), "seed": seed}
    try:
        check_placeable(scaling)
        run_workers(run_script, settings, config, MwmsConfig(), tell, polled=show)
    except RequestError as error:
        raise RequestError(
            re.sub(r"scaling\.(?:num_)?(\w+)", lambda field: "--" + field[1].replace("_", "-"), str(error))
        ) from error
    except (TrainingFailedError, RayError) as error:
        return code_of(error, asked)
    return EXIT_DONE


def run_script(settings: dict[str, Any]) -> None:
    """In a worker: run the script to its end. Raises ScriptError where it fails, what else where a worker is lost."""
    asked: Asked = settings["asked"]
    rank, size = get_train_context().get_world_rank(), get_train_context().get_world_size()
    if os.path.isdir(settings["folder"]):  # else the folder that came with the job
        os.chdir(settings["folder"])
    if asked.script[0] != "-m" and not os.path.isfile(asked.script[0]):
        raise RequestError(f"{asked.script[0]}: is not in {os.getcwd()} of worker {rank}: let all machines share it")
    threads = os.environ.get("OMP_NUM_THREADS", "1")  # as Ray has it, by the CPUs of a worker
    environment = {**dict.fromkeys(THREADS, threads), **os.environ, "PYTHONHASHSEED": settings["seed"]}
    say = told.append if rank == 0 else functools.partial(say_of, rank) if asked.all_output else None
    port = addresses.held[-1].fileno() if size > 1 else -1
    worker = Worker(rank, asked, environment, port, say)
    addresses.release_addresses()
    while not worker.look():
        time.sleep(0.05)
    # What says more may be on its way: the chief's last lines, its own failure, Ray's news of a worker that is gone.
    until = time.monotonic() + GRACE
    while time.monotonic() < until and (told or (worker.code and rank > 0) or worker.code == LOST):
        time.sleep(0.05)
    if worker.code == LOST:
        raise PeerLostError(f"worker {rank} lost another worker")
    if worker.code < 0:
        raise RuntimeError(f"the script was ended by signal {-worker.code}")
    if worker.code:
        raise ScriptError(rank, worker.code, b"".join(worker.lines))


def say_of(rank: int, line: bytes) -> None:
    told.append(b"[%d] %b" % (rank, line))


def fetch() -> bytes:
    """In a worker: take the lines that are to be shown."""
    return b"".join(told.popleft() for _ in range(len(told)))


def show(workers: Any) -> None:
    """Show what the scripts have said since the last time."""
    for lines in workers.execute_async(fetch):
        with contextlib.suppress(RayError):  # it is gone, or about to go
            sys.stdout.buffer.write(ray.get(lines, timeout=GRACE))
    sys.stdout.buffer.flush()


def code_of(error: Exception, asked: Asked) -> int:
    """Return the exit code of a script that has failed. Raises what it was refused for, or TrainingError."""
    failures = getattr(as_lost_worker(error), "worker_failures", {})
    causes = [cause_of(failure) for _, failure in sorted(failures.items())]
    first = next((cause for cause in causes if isinstance(cause, ScriptError | RequestError)), None)
    if first is None:
        raise TrainingError(f"{describe_losses(failures)}, and no restart is left (--restarts {asked.restarts})")
    if isinstance(first, RequestError):
        raise first
    if first.rank > 0:
        print(f"error: worker {first.rank} failed\n{first.lines.decode(errors='replace')}", end="", file=sys.stderr)
    return shell_code(first.code)
