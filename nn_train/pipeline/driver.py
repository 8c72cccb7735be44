"""``run_pipeline``: the stages one after another on one Ray. Each goes on where it was cut off."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_train.config import Config
from nn_train.config.parse import config_to_dict
from nn_train.config.schema import ScalingConfig
from nn_train.config.space import drawn, extremes, resolve, with_values
from nn_train.config.wording import counted
from nn_train.errors import RequestError
from nn_train.events import About, Event, Handler, Line, SearchEnded, Started, unheard
from nn_train.pipeline.clock import PREDICTION, Clock, Stage, Work, on_workers
from nn_train.pipeline.stages import REPORT, ModelStages, model_stages, pipeline_config, pipeline_folder
from nn_train.runs.preflight import check_early
from nn_train.runs.record import read_finished
from nn_train.search import SearchOutcome, search
from nn_train.search.driver import check_search
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import CONFIG, SEARCH
from nn_train.storage.lease import hold
from nn_train.training import TrainResult, train_all

RAY_TUNE = "nn_train.search.ray_tune"
RECORD = "pipeline.json"
NO_OVERRIDES: Mapping[str, Any] = {}


@dataclass(frozen=True)
class PipelineResult:
    """A finished pipeline.

    Attributes:
        folder: its path or URI: ``search_<model>/``, ``<model>_seed<n>/`` and ``report/`` lie there.
        report: path or URI of ``report.html``.
        record: the content of ``pipeline.json``.
        ran: False when it was finished before and nothing was done.
    """

    folder: str
    report: str
    record: dict[str, Any]
    ran: bool


def run_pipeline(
    config: Config,
    overrides: Mapping[str, Any] = NO_OVERRIDES,
    quick: bool = False,
    on_event: Handler = unheard,
    verbose: bool = False,
) -> PipelineResult:
    """Search for each model, train it with what was found from several seeds, evaluate all runs, report.

    Args:
        config: the job; its section ``pipeline`` names the models.
        overrides: ``section.field`` to a value that holds for all models, whatever their entries say.
        quick: with the smaller budgets of ``pipeline.quick``.
        on_event: called with every event: ``StageStarted``, ``SearchEnded``, ``Line`` of the evaluation, and those of
            ``search`` and ``train`` in ``About``.
        verbose: let the logs of Ray and TensorFlow through.

    Raises:
        RequestError, TrainingError: as ``search``, ``train`` and ``evaluate_runs``.
        KeyboardInterrupt: Ctrl-C; the same command goes on where it was.
    """
    whole = pipeline_config(config, overrides, quick)
    models = model_stages(config, overrides, quick)
    folder = ResultsFolder(pipeline_folder(whole))
    settings = config_to_dict(whole, stages=("search", "pipeline"))
    record, page = folder.read_json(RECORD), f"{REPORT}/report.html"
    finished_before = record is not None and record.get("config") == settings and folder.exists(page)
    if record is not None and finished_before and not whole.run.overwrite:
        return PipelineResult(folder.location, folder.path(page), record, ran=False)
    if folder.exists(CONFIG):
        raise RequestError(f"name: {folder.location} holds a run or a search, not a pipeline; give another --name")
    folder.is_empty()  # RequestError where there is no bucket
    check_models(models, on_event)
    began = time.time()

    def say(text: str) -> None:
        on_event(Line(f"waiting for {text}"))

    with hold([folder], say):
        try:
            runs, searches = run_stages(models, folder, on_event, verbose)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"The pipeline in {folder.location} goes on with the same command.") from None
        finished = {
            "schema": 1,
            "config": settings,
            "searches": [one.folder for one in searches],
            "runs": [one.folder for one in runs],
            "seconds": round(time.time() - began, 3),
        }
        folder.write_json(RECORD, finished)
    return PipelineResult(folder.location, folder.path(page), finished, ran=True)


def check_models(models: list[ModelStages], on_event: Handler) -> None:
    """Refuse before Ray starts what can be seen without it."""
    for model in models:
        check_early(model.base, model.search.search.space if model.search is not None else (), on_event)
        if model.search is not None:
            check_search(model.search)


def run_stages(
    models: list[ModelStages], folder: ResultsFolder, on_event: Handler, verbose: bool
) -> tuple[list[TrainResult], list[SearchOutcome]]:
    """Everything, on one Ray: all searches, then all trainings on workers that start once, then the report."""
    from nn_train.prediction.rehearsal import check_evaluable
    from nn_train.ray_cluster.placement import check_placeable, trials_at_a_time
    from nn_train.ray_cluster.session import preload_for, ray_session

    scaling = models[0].base.scaling
    with ray_session(verbose, [RAY_TUNE], preload_for(scaling, "ray.train", "ray.tune")):
        for model in models:
            for job in (model.search, model.base):
                if job is not None:
                    check_placeable(job.scaling)
        if unknown := [(one.name, first_trial(one)) for one in models if is_new(one, folder)]:
            on_event(Line("trying an evaluation before anything is trained"))
            check_evaluable(unknown)
        searching = [one for one in models if one.search is not None]
        at_a_time = {one.name: trials_at_a_time(one.search.scaling) for one in searching if one.search is not None}
        clock = Clock(planned(models, folder, at_a_time), on_event)
        outcomes, configs = [], []
        for model in models:
            found: dict[str, Any] = {}
            if model.search is not None:
                clock.begin()
                outcome = search(model.search, with_config(model.search, on_event), verbose)
                on_event(search_ended(model.search, outcome))
                alone = on_workers(1, model.search.scaling.num_workers)  # a row is of all workers of a trial
                clock.learn(model.name, [row["seconds"] / alone for one in outcome.records for row in one.rows])
                outcomes.append(outcome)
                found = outcome.best.values
            configs += model.trainings(found)
        clock.begin()
        results = train_all(configs, with_configs(configs, on_event), verbose)
        clock.begin()
        write_report(results, outcomes, folder, scaling, on_event, verbose)
    return results, outcomes


def is_new(model: ModelStages, folder: ResultsFolder) -> bool:
    """Return whether nothing was begun of a model with a function of the user's, which may be one for any task."""
    jobs = [*([model.search] if model.search is not None else []), *model.trainings({})]
    is_own = not {"model.name", "data.source"}.isdisjoint(model.base.functions)
    return is_own and not any(folder.exists(f"{job.job_name}/{CONFIG}") for job in jobs)


def first_trial(model: ModelStages) -> Config:
    """Return the config of a model with the first value of each field that its search draws."""
    if model.search is None:
        return model.base
    space = check_search(model.search)
    return with_values(model.base, resolve(space, {name: extremes(one)[0] for name, one in drawn(space).items()}))


def planned(models: list[ModelStages], folder: ResultsFolder, at_a_time: Mapping[str, int]) -> list[Stage]:
    """The stages in their order, and what is left to do in each."""
    from nn_train.search.planning import make_plan, rungs

    stages, trainings = [], []
    for model in models:
        job, kind = model.search, model.base.model.name
        if job is not None:
            plan = make_plan(job, rungs(job), job.search.num_trials, at_a_time[model.name])
            epochs = on_workers(plan.epochs_expected, job.scaling.num_workers) / at_a_time[model.name]
            ended = folder.exists(f"{job.job_name}/{SEARCH}")
            stages.append(Stage(f"search for {model.name}", [] if ended else [Work(model.name, kind, epochs)]))
        epochs = on_workers(model.base.train.epochs, model.base.scaling.num_workers)
        runs = [ResultsFolder(folder.path(config.job_name)) for config in model.trainings({})]
        trainings += [Work(model.name, kind, epochs) for run in runs if read_finished(run) is None]
    names = ", ".join(model.name for model in models)
    whole = sum(model.seeds for model in models)
    stages.append(Stage(f"train {names}: {counted(whole, 'run')}", trainings))
    return [*stages, Stage("evaluate and report", [PREDICTION] * whole)]


def search_ended(config: Config, outcome: SearchOutcome) -> SearchEnded:
    """What a search has found."""
    best, metric = outcome.best, config.search.metric
    value = best.value(metric)
    assert value is not None
    return SearchEnded(len(outcome.records), outcome.ran, best.trial, metric, value, best.values)


def with_config(config: Config, on_event: Handler) -> Handler:
    """Adds to each event the config that it is about."""
    return lambda event: on_event(About(config, event))


def with_configs(configs: list[Config], on_event: Handler) -> Handler:
    """Adds to each event of several trainings its config: ``Started`` names the run, what follows is about that one."""
    by_name = {config.job_name: config for config in configs}
    now = configs[0]

    def tell(event: Event) -> None:
        nonlocal now
        if isinstance(event, Started):
            now = by_name[event.run]
        on_event(About(now, event))

    return tell


def write_report(
    results: list[TrainResult],
    outcomes: list[SearchOutcome],
    folder: ResultsFolder,
    scaling: ScalingConfig,
    on_event: Handler,
    verbose: bool,
) -> None:
    """Evaluate all runs into ``report/``; on an object store by way of a temporary folder."""
    from nn_train.prediction.driver import evaluate_runs

    def say(text: str) -> None:
        on_event(Line(text))

    runs, searches = [one.folder for one in results], [one.folder for one in outcomes]
    if folder.is_local:
        evaluate_runs(runs, Path(folder.path(REPORT)), scaling, say, verbose, searches)
        return
    with tempfile.TemporaryDirectory() as scratch:
        evaluate_runs(runs, Path(scratch), scaling, say, verbose, searches)
        for file in sorted(path for path in Path(scratch).rglob("*") if path.is_file()):
            folder.write_file(f"{REPORT}/{file.relative_to(scratch).as_posix()}", file)
