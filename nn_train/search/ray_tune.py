"""The Ray Tune side of a search: trials placed, run, watched and restarted."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray import tune
from ray.tune.search import ConcurrencyLimiter

from nn_train.config import Config
from nn_train.config.space import Space, drawn
from nn_train.datasets.fingerprints import note, varies_data
from nn_train.errors import RequestError, StorageError
from nn_train.events import Handler, PhaseStarted, Warned, WritingModels
from nn_train.ray_cluster import local_ray
from nn_train.ray_cluster.placement import check_placeable, trials_at_a_time
from nn_train.ray_cluster.serialization import pack
from nn_train.ray_cluster.session import preload_for, ray_session
from nn_train.ray_cluster.shared_storage import check_shared
from nn_train.runs.loggers import Loggers
from nn_train.runs.own_code import code_of
from nn_train.runs.record import command_line
from nn_train.search.algorithms import OptunaSearcher, is_listed, listed_draws, listed_search, seed_after
from nn_train.search.export import export_models
from nn_train.search.journal import Journal, Record, forget_trial, trial_folder
from nn_train.search.loggers import loggers_of_search
from nn_train.search.phases import (
    EXTEND,
    PHASES,
    SEARCH,
    confirm_points,
    contenders,
    extend_points,
    of_phase,
    open_combinations,
    open_names,
    open_points,
    target_reached,
)
from nn_train.search.planning import Pace, make_plan, measure, pace_of, plan_lines, rungs
from nn_train.search.resume import population_points, replay
from nn_train.search.schedulers import Fifo, make_scheduler
from nn_train.search.shared_examples import own_result, share_examples
from nn_train.search.trainable import RemoteTrial, TrialSettings, for_search, resources_of_trial
from nn_train.search.trial_callbacks import DRAWS, Watcher
from nn_train.search.tune_patches import patched_tune
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import LOGS

TUNE_FILES = "tune"  # what Ray Tune insists on writing; removed at the end
ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # three files for every trial; the journal has it all
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # snapshots that grow with the trials; the journal replaces them
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C stays a KeyboardInterrupt
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


WRITING = 5.0  # seconds that writing the best models takes: a process builds them


class Session:
    """The trials that one call of ``search`` runs. Use as a context: inside it there is a Ray."""

    def __init__(
        self,
        config: Config,
        space: Space,
        folder: ResultsFolder,
        journal: Journal,
        on_event: Handler,
        verbose: bool,
    ) -> None:
        self.config, self.space, self.folder, self.journal = config, space, folder, journal
        self.on_event, self.verbose = on_event, verbose
        self.started_at = time.time()
        budget = config.search.time_budget
        self.deadline = None if budget is None else self.started_at + budget
        self.domains = drawn(space)
        self.context: contextlib.ExitStack
        self.data: Any = None
        self.files: dict[str, str] = {}  # of the data, by which a search that goes on knows that they changed
        self.printed = ""  # by the function that gives them
        self.parcel: Any = None

    def __enter__(self) -> Session:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        if not self.verbose:
            for name in ("ray.tune", "ray.train", "optuna"):
                logging.getLogger(name).setLevel(logging.ERROR)
        scaling = self.config.scaling
        with contextlib.ExitStack() as stack:
            stack.enter_context(ray_session(self.verbose, preload=preload_for(scaling, "ray.tune")))
            check_placeable(dataclasses.replace(scaling, min_workers=None))  # trials take no fewer
            check_shared(self.folder, scaling)
            self.parcel = ray.put(pack(self.config.functions.values()))
            if not varies_data(self.space):
                self.data, self.files, self.printed = share_examples(self.config, self.parcel)
            self.context = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError, StorageError):
            self.folder.inside(TUNE_FILES).clear()
        self.context.close()

    @functools.cached_property
    def draws(self) -> list[dict[str, Any]]:
        """Every trial of an algorithm that lists them."""
        return listed_draws(self.config.search, self.domains, self.config.seed)

    def open_in(self, phase: str) -> list[Any]:
        """The points (or, for an algorithm that draws as it goes, the names) of one phase that have not ended."""
        if phase == SEARCH:
            if target_reached(self.config, self.journal.records):
                return []
            if not is_listed(self.config.search):
                return open_names(self.config.search.num_trials, self.journal.records)
            # PBT changes what was drawn, so that trials are known by their names alone.
            by_draws = self.config.search.algorithm == "grid" and self.config.search.scheduler != "pbt"
            of_list = open_combinations if by_draws else open_points
            return of_list(self.draws, self.journal.records)
        return (extend_points if phase == EXTEND else confirm_points)(self.config, self.journal.records)

    def run(self) -> str:
        """Run every phase; why the search ended before all its trials had, or an empty text."""
        is_new = not self.journal.records and not self.folder.folders("trials")  # which go on from their checkpoints
        note(self.folder, self.files, anew=is_new)
        if self.printed:
            self.folder.write(f"{LOGS}/data.txt", self.printed.encode(errors="replace"))
        ended, is_new = "", not self.journal.records
        with loggers_of_search(
            self.config, self.space, self.folder, lambda text: self.on_event(Warned(text)), must_work=is_new
        ) as loggers:
            for phase in PHASES:
                reason = self.run_phase(phase, loggers)
                ended = ended or reason
                if reason and "target" not in reason:
                    break
        return ended

    def run_phase(self, phase: str, loggers: Loggers) -> str:
        """Run the trials of one phase, and again those that were lost."""
        attempts = self.config.run.max_failures + 1
        for attempt in range(1, attempts + 1):
            points = self.open_in(phase)
            if not points:
                break
            watcher = self.run_trials(phase, points, loggers, last_attempt=attempt == attempts)
            if watcher.reason or not watcher.lost:
                return watcher.reason
        return ""

    def run_trials(self, phase: str, points: list[Any], loggers: Loggers, last_attempt: bool) -> Watcher:
        """One call of Ray Tune."""
        config, search = self.config, self.config.search
        of_search = (config, self.space, self.folder, self.journal)
        watcher = Watcher(*of_search, phase, self.deadline, self.on_event, loggers, last_attempt)
        self.on_event(PhaseStarted(phase, open=len(points), known=len(self.journal.records)))
        scheduler: Any = Fifo()
        if phase == SEARCH:
            scheduler = make_scheduler(config, self.domains)
            if search.scheduler == "pbt":
                points = population_points(self.space, self.folder, points)
            known = of_phase(self.journal.records, SEARCH)
            replay(scheduler, [one.values_by_epoch(search.metric) for one in known])
        param_space: dict[str, Any] | None = None
        if phase != SEARCH or is_listed(search):
            algorithm, param_space = listed_search(points, search.max_concurrent)
        else:
            algorithm = self.optuna_search(points)
        settings = TrialSettings(base=config, space=self.space, folder=self.folder, data=self.data, parcel=self.parcel)
        tuner = tune.Tuner(
            tune.with_resources(for_search(settings), resources_of_trial(config.scaling)),
            param_space=param_space,
            tune_config=tune.TuneConfig(
                num_samples=len(points), reuse_actors=True, search_alg=algorithm, scheduler=scheduler
            ),
            run_config=tune.RunConfig(
                name=phase,
                storage_path=self.folder.path(TUNE_FILES),
                callbacks=[watcher],
                stop=watcher,
                failure_config=tune.FailureConfig(max_failures=config.run.max_failures),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=4, checkpoint_at_end=False),
                verbose=1 if self.verbose else 0,
            ),
        )
        with patched_tune(local_ray.is_running(), config.scaling.num_workers):
            tuner.fit()
        if watcher.broken:
            raise RequestError(watcher.broken)
        return watcher

    def optuna_search(self, names: list[str]) -> Any:
        """A searcher that knows the trials of earlier sessions."""
        search = self.config.search
        left = sorted(set(names) & set(self.folder.folders("trials")))
        drawn_before = {name: trial_folder(self.folder, name).read_json(DRAWS) for name in left}
        begun = {name: draws for name, draws in drawn_before.items() if draws is not None}
        fresh = [name for name in names if name not in begun]
        known = of_phase(self.journal.records, SEARCH)
        seed = seed_after(self.config.seed, len(known) + len(begun))
        searcher = OptunaSearcher(search, self.domains, seed, begun, fresh)
        for record in known:
            searcher.learn(record.draws, record.value(search.metric))
        # A trial that is drawn before it can run knows less of the others.
        return ConcurrencyLimiter(searcher, search.max_concurrent or trials_at_a_time(self.config.scaling))

    def plan(self) -> list[str]:
        """What ``run`` would do, in words; trains one trial for a few epochs to know its pace."""
        config, records = self.config, self.journal.records
        beside = time.time() - self.started_at + WRITING  # Ray's start and the examples; the models at the end
        at_a_time = min(trials_at_a_time(config.scaling), config.search.max_concurrent or sys.maxsize)
        trials, extending = len(self.open_in(SEARCH)), len(self.open_in(EXTEND))
        # The best are not extended once trials of the space itself have trained as long.
        plan = make_plan(config, rungs(config), trials, at_a_time, 0 if trials else extending)

        def probe() -> Pace:
            with tempfile.TemporaryDirectory() as scratch:
                return measure(
                    config,
                    ResultsFolder(scratch, "trials/probe"),  # of a search whose folder this is
                    lambda: RemoteTrial(config.scaling, self.data, self.parcel, config.run.hang_timeout),
                )

        pace = pace_of(config, records, probe)
        return plan_lines(config, plan, dataclasses.replace(pace, start=pace.start + beside))

    def keep_models(self, records: list[Record], code: Mapping[str, Any]) -> None:
        """Write the models of these trials as runs under ``best/``, and keep no other weights than the best.

        ``code``: of the user's, as ``note_code`` gives it.
        """
        if records:
            self.on_event(WritingModels(len(records)))
            places = {record.trial: at for at, record in enumerate(self.journal.records)}
            trained_with = [code_of(code, places[record.trial]) for record in records]
            task = ray.remote(num_cpus=0, max_retries=3, max_calls=1)(export_models)
            given = (self.config, self.folder, records, trained_with, command_line(), self.parcel)
            for trial in own_result(task.remote(*given)):
                weights = trial_folder(self.folder, trial).location
                self.on_event(Warned(f"{trial} is of code that has changed and cannot be made a run; see {weights}"))
        best = contenders(self.config, self.journal.records)[: self.config.search.keep_best]
        needed = {record.trial for record in (*records, *best)}
        ended = {record.trial for record in self.journal.records}
        for name in self.folder.folders("trials"):
            if name in ended - needed:  # those that were cut off go on from what they left
                forget_trial(self.folder, name)
