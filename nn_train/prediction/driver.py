"""``evaluate_runs``: predict the test set with finished runs on Ray workers, then write the report."""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nn_train.config.options import is_entry_point
from nn_train.config.schema import ScalingConfig
from nn_train.errors import RequestError
from nn_train.evaluation import AnyPredictions, Predictions, merge_shards, store_predictions
from nn_train.evaluation.predictions import MULTICLASS
from nn_train.prediction.outputs import UNSETTLED, settled_scores
from nn_train.prediction.scored_examples import Images
from nn_train.prediction.scorer import DIFFERING_TASKS, score
from nn_train.prediction.workers import answers, start_workers
from nn_train.report import RunRecord, collect_runs, find_runs, load_inputs
from nn_train.report.inputs.grouping import repeats
from nn_train.report.inputs.run_folders import read_run
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import MODEL, RESULT
from nn_train.storage.lease import hold

RENDER = "nn_train.report.render"
Say = Callable[[str], None]


def evaluate_runs(
    run_dirs: Sequence[str | Path],
    output: Path,
    scaling: ScalingConfig | None = None,
    say: Say = lambda line: None,
    verbose: bool = False,
    searches: Sequence[str | Path] = (),
    source: str | None = None,
    task: str | None = None,
) -> Path:
    """Evaluate finished runs on their test set and report on them.

    Args:
        run_dirs: paths or URIs of finished runs; all must have the same test set. The folder of a finished
            search stands for the runs of its best models, and the report shows that search. Without any, the
            report in ``output`` is written again from what was predicted before.
        output: local folder of the report.
        scaling: the workers; the default is one.
        say: called with a line of progress.
        verbose: let the logs of Ray and TensorFlow through.
        searches: paths or URIs of searches to show as well, whose best models are not evaluated. They need
            ``run_dirs`` beside them; a search that is named twice is shown once.
        source: of other test examples than those that came with the training examples; None: those.
        task: what the models are for; None: what ``evaluation.task`` of each run says, or what is inferred.

    Returns:
        The path of ``report.html``.

    Raises:
        RequestError: a folder is not a finished run or search, or the workers do not fit the cluster.
        TrainingError: predictions are incomplete, workers died too often, or (StorageError) the storage of
            the runs does not answer.
    """
    workers = scaling or ScalingConfig(num_workers=1)
    with hold([ResultsFolder(str(output), "report.html")], lambda text: say(f"waiting for {text}"), "--output"):
        asked = (run_dirs, searches, source, task)
        images = predict_all(*asked, output, workers, say, verbose) if run_dirs or searches else None
        say("writing the report")
        from nn_train.report.render import render

        return render(load_inputs(output), output, images=images)


def predict_all(
    run_dirs: Sequence[str | Path],
    searches: Sequence[str | Path],
    source: str | None,
    task: str | None,
    output: Path,
    scaling: ScalingConfig,
    say: Say,
    verbose: bool,
) -> dict[str, Images]:
    """Predict with every run; returns the images of its mistakes, where the examples are images, by its stem."""
    from nn_train.prediction.own_modules import parcel_for, warn_of_changes
    from nn_train.ray_cluster.shared_storage import refuse_temporary

    refuse_temporary("--output", str(output))
    folders, among = find_runs(run_dirs)
    models = [read_model(folder) for folder in folders]  # before anything is written
    files = [read_run(folder) for folder in folders]
    for one in files:
        warn_of_changes(one.result, say)
    again = repeats(files)
    for at, first in again.items():
        say(f"{folders[at].location} is left out: the same training as {folders[first].location}, with the same seed")
    folders = [folder for at, folder in enumerate(folders) if at not in again]
    models = [model for at, model in enumerate(models) if at not in again]
    records = collect_runs(folders, output, [*among, *searches], tested_on=source)
    from nn_train.ray_cluster.placement import check_placeable, size_for_room
    from nn_train.ray_cluster.session import preload_for, ray_session

    others = [] if source is None or not is_entry_point(source) else [source]
    parcel = parcel_for(records, needed=["data"] if source is None else [], sources=others)
    with ray_session(verbose, [RENDER], preload_for(scaling)):
        import ray

        check_placeable(scaling)
        workers = start_workers(scaling, size_for_room(scaling), parcel)
        # One run ahead: the workers are busy while a run is gathered, and two runs at most are in memory.
        pending: list[tuple[RunRecord, float, list[Any]]] = []
        images: dict[str, Images] = {}
        for record, model in zip(records, models, strict=True):
            content = ray.put(model)
            settings = record.config if task is None else {**record.config, "evaluation": {"task": task}}
            calls = [
                worker.run(score, content, settings, record.result, rank, len(workers))
                for rank, worker in enumerate(workers)
            ]
            pending.append((record, time.perf_counter(), calls))
            importlib.import_module(RENDER)  # where it was not: two seconds, in which the workers start
            if len(pending) > 1:
                images |= gather(*pending.pop(0), output, say)
        for waiting in pending:
            images |= gather(*waiting, output, say)
    return images


def read_model(folder: ResultsFolder, option: str = "--runs") -> bytes:
    """``model.keras`` of a finished run; ``option`` has named it."""
    record = folder.read_json(RESULT) or {}
    if record.get("status") == "failed":
        raise RequestError(f"{option} {folder.location}: the run failed and is not finished; train it to its end first")
    try:
        return folder.read(MODEL)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RequestError(f"{option} {folder.location}: has no {MODEL}; name the folder of a finished run") from error


def gather(record: RunRecord, began: float, calls: list[Any], output: Path, say: Say) -> dict[str, Images]:
    """Wait for the workers' parts of one run and store them as one; returns the images of its mistakes by its stem."""
    parts = answers(calls, record.name)
    if len({part.order for part in parts}) > 1:
        raise RequestError(
            f"{record.name}: data.source: the test examples are a stream that gives each worker others, or in another "
            "order; let the function give the same each time: draw with a seed, sort lists of files, map with "
            "deterministic=True; or evaluate with --scaling.num_workers 1"
        )
    filled = [part for part in parts if len(part.shard.example_id)]
    if len({part.task for part in filled}) > 1:
        raise RequestError(f"{record.name}: {DIFFERING_TASKS}")
    task = filled[0].task if filled else MULTICLASS
    predictions = merge_shards([part.shard for part in parts], parts[0].num_examples, task)
    seconds = round(time.perf_counter() - began, 3)
    kind = filled[0].output
    if kind in UNSETTLED and isinstance(predictions, Predictions):
        scores, kind = settled_scores(kind, predictions.logits)
        predictions = dataclasses.replace(predictions, logits=scores)
    store_predictions(output / "predictions", record.stem, predictions, output=kind, seconds=seconds)
    say(f"{record.name}: {len(predictions):,} test examples, {headline(predictions)}")
    return {record.stem: {i: image for part in parts for i, image in part.images.items()}}


def headline(predictions: AnyPredictions) -> str:
    """Say what a run reached, by the task that was set or inferred."""
    if isinstance(predictions, Predictions):
        accuracy = float((predictions.logits.argmax(axis=1) == predictions.y_true).mean())
        return f"accuracy {accuracy:.4f} ({predictions.task}, {predictions.classes} classes)"
    errors = predictions.y_pred.astype(float) - predictions.y_true
    targets = errors.shape[1]
    return f"mean absolute error {abs(errors).mean():.4g} (regression, {targets} target{'s' * (targets > 1)})"
