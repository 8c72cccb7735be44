"""A trial as Ray Tune sees it: a class whose ``step`` is an epoch, and whose process outlives its trial.

A trial of one worker trains in the process that Tune starts. A trial of several workers has that process as
its coordinator, which needs no CPU, and its workers beside it in one placement group: Ray reserves all of them
or none, so that coordinators cannot hold what workers wait for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from nn_train.config import Config
from nn_train.config.schema import ScalingConfig
from nn_train.config.space import Space, resolve, with_values
from nn_train.errors import RequestError
from nn_train.ray_cluster.guard import Guard
from nn_train.ray_cluster.placement import free_address, resources_per_worker
from nn_train.ray_cluster.serialization import unpack
from nn_train.runs.agreement import OTHER
from nn_train.runs.record import best_epoch
from nn_train.runs.watchdog import PATIENT
from nn_train.search.journal import trial_folder
from nn_train.search.trial_training import BEST
from nn_train.search.trial_worker import Outcome, TrialWorker
from nn_train.storage.folder import ResultsFolder

WORST = 1e30  # what schedulers see of a trial that failed; it never reaches a file
STATE, OF_TRIAL = "state.ckpt", "trial"  # files of a checkpoint for Tune: the state, and whose it is


@dataclass(frozen=True)
class TrialSettings:
    """What all trials of a search have in common.

    Attributes:
        base: the job that the trials vary.
        space: what they vary.
        folder: of the search.
        data: a Ray reference to the examples, or None where each process reads them itself.
        parcel: a Ray reference to the user's code that workers need (``ray_cluster/serialization.py``).
    """

    base: Config
    space: Space
    folder: ResultsFolder
    data: Any
    parcel: Any


def resources_of_trial(scaling: ScalingConfig) -> tune.PlacementGroupFactory:
    """What Tune reserves for one trial."""
    each = resources_per_worker(scaling)
    if scaling.num_workers == 1:
        return tune.PlacementGroupFactory([each])
    return tune.PlacementGroupFactory([{"CPU": 0.0}, *[dict(each) for _ in range(scaling.num_workers)]])


class TrialRunner(tune.Trainable):
    """Trains the trials that Tune gives to one process (or one group of processes), one after another.

    Tune's config of a trial holds ``trial`` (its name) and ``draws`` (what was drawn), or ``values`` (field to value).
    """

    settings: TrialSettings  # set by ``for_search``
    workers: LocalTrial | RemoteTrial  # made once for all trials

    def setup(self, config: dict[str, Any]) -> None:
        # TensorFlow's import and the joining of a strategy are a silence, on a slow disk a long one.
        hang_timeout = self.settings.base.run.hang_timeout
        guard = Guard(PATIENT * hang_timeout)
        scaling, data, parcel = self.settings.base.scaling, self.settings.data, self.settings.parcel
        if scaling.num_workers == 1:
            self.workers = LocalTrial(scaling, data, parcel)
        else:
            self.workers = RemoteTrial(scaling, data, parcel, hang_timeout)
        self.start(config)
        guard.change(hang_timeout)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self.wear():
            return False  # after ``keeps_process`` of ``lighter_tune.py`` nobody asks
        self.start(new_config)
        return True

    def start(self, config: dict[str, Any]) -> None:
        """Make ready for the trial of ``config``."""
        self.trial, draws = config["trial"], config.get("draws")
        self.values = config.get("values") or resolve(self.settings.space, config["draws"])
        self.refused = ""
        try:
            job = replace(with_values(self.settings.base, self.values), search=self.settings.base.search)
        except RequestError as error:  # each value is allowed, but not all of them together
            self.refused = str(error)
            return
        self.refused = self.workers.begin(job, trial_folder(self.settings.folder, self.trial), self.values, draws)

    def step(self) -> dict[str, Any]:
        """One epoch; the metric is the value at the best epoch so far, as ``jobs.train`` would report it, and the
        values are those which that epoch was trained with."""
        outcome = Outcome(rows=[], done=True, cause=self.refused) if self.refused else self.workers.epoch()
        search = self.settings.base.search
        result: dict[str, Any] = {"done": outcome.done, "cause": outcome.cause, "epoch": len(outcome.rows)}
        result |= {"rows": outcome.rows, "values": self.values, "mixed": outcome.mixed, **outcome.numbers}
        value = None
        if outcome.rows:
            value = outcome.rows[best_epoch(outcome.rows) - 1].get(search.metric)
        if value is None and not outcome.cause:
            known = ", ".join(outcome.rows[-1]) if outcome.rows else "none"
            advice = "; set search.metric to one of them" if outcome.rows else ""
            cause = f"search.metric: no {search.metric} in the epochs' rows; there: {known}{advice}"
            result |= {"done": True, "cause": cause}
        if value is None or outcome.cause:
            value = WORST if search.lower_is_better else -WORST
        return {**result, "ended": result["done"], "value": value, "worn": self.wear()}

    def wear(self) -> str:
        """Why no other trial should have these processes; empty if one may."""
        return "a broken group of workers" if self.workers.broken else self.workers.wear()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, STATE).write_bytes(self.workers.state())
        if self.settings.base.search.scheduler == "pbt":  # another trial may take over the best epoch as well
            with contextlib.suppress(FileNotFoundError):  # somebody deleted it
                Path(checkpoint_dir, BEST).write_bytes(trial_folder(self.settings.folder, self.trial).read(BEST))
        Path(checkpoint_dir, OF_TRIAL).write_text(self.trial)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        of_other = Path(checkpoint_dir, OF_TRIAL).read_text() != self.trial
        if of_other and Path(checkpoint_dir, BEST).exists():
            trial_folder(self.settings.folder, self.trial).write(BEST, Path(checkpoint_dir, BEST).read_bytes())
        self.workers.restore(Path(checkpoint_dir, STATE).read_bytes(), of_other)


def for_search(settings: TrialSettings) -> type[TrialRunner]:
    """The trainable of one search."""
    return type("TrialRunner", (TrialRunner,), {"settings": settings})


class LocalTrial(TrialWorker):
    """The one worker of a trial, in this process."""

    broken = False

    def __init__(self, scaling: ScalingConfig, data: ray.ObjectRef | None, parcel: ray.ObjectRef) -> None:
        super().__init__(0, 1, None if data is None else ray.get(data))
        self.join([free_address(scaling.port_range)], scaling)
        unpack(ray.get(parcel))


class RemoteTrial:
    """The workers of a trial, each in its own process of this trial's placement group; used as a ``TrialWorker`` is.

    Attributes:
        broken: a worker was lost or ended, and no other trial can have them.
    """

    OTHERS_WITHIN = 10.0  # seconds between the first worker's failure and the end of waiting for the others

    def __init__(
        self, scaling: ScalingConfig, data: ray.ObjectRef | None, parcel: ray.ObjectRef, hang_timeout: float
    ) -> None:
        actor = ray.remote(num_cpus=scaling.cpus_per_worker, num_gpus=resources_per_worker(scaling).get("GPU", 0))
        size = scaling.num_workers
        self.broken = False
        self.workers = [actor(RemoteWorker).remote(rank, size, data) for rank in range(size)]
        ray.get([worker.watch_silence.remote(PATIENT * hang_timeout) for worker in self.workers])
        addresses = ray.get([worker.address.remote(scaling.port_range) for worker in self.workers])
        ray.get([worker.join.remote(addresses, scaling) for worker in self.workers])
        ray.get([worker.unpack.remote(parcel) for worker in self.workers])

    def begin(
        self, config: Config, folder: ResultsFolder, values: dict[str, Any], draws: dict[str, Any] | None = None
    ) -> str:
        """Why a worker cannot train the trial, else an empty text."""
        causes = self.answers([worker.begin.remote(config, folder, values, draws) for worker in self.workers], bool)
        # One that only knows that another could not go on says least.
        return max(causes, key=lambda cause: (cause != "", cause != OTHER.format(location=folder.location)))

    def epoch(self) -> Outcome:
        """The chief's outcome, or that of the worker that failed."""
        outcomes = self.answers([worker.epoch.remote() for worker in self.workers], lambda one: one.cause != "")
        return next((outcome for outcome in outcomes if outcome.cause), outcomes[0])

    def answers(self, calls: list[Any], failed: Callable[[Any], bool]) -> list[Any]:
        """What the workers answer; of the one that failed alone, when the others then wait for it: they are ended."""
        ready, waiting = ray.wait(calls, num_returns=1)
        first = ray.get(ready[0])
        if failed(first) and waiting:
            _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=self.OTHERS_WITHIN)
            if waiting:
                self.broken = True
                for worker in self.workers:
                    ray.kill(worker)
                return [first]
        return ray.get(calls)

    def wear(self) -> str:
        return ray.get(self.workers[0].wear.remote())

    def state(self) -> bytes:
        return ray.get(self.workers[0].state.remote())

    def restore(self, content: bytes, of_other: bool) -> None:
        shared = ray.put(content)
        ray.get([worker.restore.remote(shared, of_other) for worker in self.workers])


class RemoteWorker(TrialWorker):
    """A worker as an actor; Ray gives it the examples themselves for their reference."""

    def watch_silence(self, timeout: float) -> None:
        """End this process when it stands still; soon once it has joined its strategy and has the examples."""
        self.guard = Guard(timeout)

    def begin(
        self, config: Config, folder: ResultsFolder, values: dict[str, Any], draws: dict[str, Any] | None = None
    ) -> str:
        refused = super().begin(config, folder, values, draws)
        self.guard.change(config.run.hang_timeout)
        return refused

    def unpack(self, parcel: bytes) -> None:
        unpack(parcel)

    def address(self, port_range: str | None) -> str:
        """``host:port`` of this process. Raises RequestError when no port of the range is free."""
        return free_address(port_range)
