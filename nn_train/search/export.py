"""The best trials as ordinary runs: what ``jobs.train`` would have left, made from the weights that were kept."""

from __future__ import annotations

from typing import Any

from nn_train.config import Config, dump_yaml
from nn_train.config.space import with_values
from nn_train.engine.import_tensorflow import import_tensorflow
from nn_train.errors import StorageError
from nn_train.ray_cluster.serialization import unpack
from nn_train.search.journal import Record, trial_folder
from nn_train.search.trial_training import BEST
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder

FILES = (layout.CONFIG, layout.METRICS, layout.MODEL, layout.RESULT)


def export_models(
    config: Config,
    folder: ResultsFolder,
    records: list[Record],
    trained_with: list[dict[str, Any]],
    command: tuple[str, ...],
    parcel: bytes,
) -> list[str]:
    """Write ``best/<place>_<trial>/`` for each of ``records``, and nothing else below ``best/``.

    Runs in a process of its own, since it needs TensorFlow. A run that is there already is left alone. Trials whose
    weights are gone, because ``search.keep_best`` was smaller when they ended, are left out.

    Args:
        trained_with: the code of the user's that each trial was trained with, see ``code_of``.

    Returns:
        The trials that are left out because that is not the code of now, which would make another model.
    """
    import_tensorflow()
    unpack(parcel)
    from nn_train.runs.own_code import changed, own_code

    now, made = own_code(config.functions.values()), {}  # the names of the runs that are whole, by trial
    for name in folder.folders(layout.BEST_RUNS):
        if folder.exists(f"{layout.BEST_RUNS}/{name}/{layout.RESULT}"):
            made[name.partition("_")[2]] = name
    kept = [
        pair for pair in zip(records, trained_with, strict=True) if trial_folder(folder, pair[0].trial).exists(BEST)
    ]
    names = {record.trial: f"{place}_{record.trial}" for place, (record, _) in enumerate(kept, start=1)}
    if folder.folders(layout.BEST_RUNS) == sorted(made.values()) == sorted(names.values()):
        return []
    there = {
        trial: {file: folder.read(f"{layout.BEST_RUNS}/{made[trial]}/{file}") for file in FILES}
        for trial in made.keys() & names.keys()
    }
    folder.inside(layout.BEST_RUNS).clear()
    left_out = []
    for record, code in kept:
        run = folder.inside(f"{layout.BEST_RUNS}/{names[record.trial]}")
        if record.trial in there:
            for file, content in there[record.trial].items():
                run.write(file, content)
        elif changed(code.get("modules", {}), now["modules"]):
            left_out.append(record.trial)
        else:
            export_model(config, folder, run, record, command, code)
    return left_out


def export_model(
    config: Config,
    folder: ResultsFolder,
    run: ResultsFolder,
    record: Record,
    command: tuple[str, ...],
    code: dict[str, Any],
) -> None:
    """One run, with ``code`` of the user's."""
    import tensorflow as tf

    from nn_train.datasets.cache import load_for_run
    from nn_train.datasets.class_weights import with_class_weights
    from nn_train.engine.preparation import prepare_model
    from nn_train.engine.strategy import Replicas
    from nn_train.runs.checkpoints import assign, unpack
    from nn_train.runs.record import finished_record
    from nn_train.runs.worker import save_model

    job = with_values(config, {**record.values, "name": f"{config.job_name}_{record.trial}"[:100]})
    data = with_class_weights(load_for_run(job.data, job.seed), job.train.class_weight)
    model = prepare_model(job, data, Replicas(strategy=tf.distribute.get_strategy(), rank=0, size=1)).model
    weights = trial_folder(folder, record.trial)
    kept = unpack(weights.read(BEST))
    if kept is None:
        raise StorageError(f"{weights.path(BEST)} is damaged")
    assign(model.weights, kept.variables)
    run.write(layout.CONFIG, dump_yaml(job).encode())
    run.write_lines(layout.METRICS, record.rows)
    save_model(model, run)
    size = config.scaling.num_workers
    content = finished_record(job, record.rows, data, model, size, command, record.started, record.finished, code)
    run.write_json(layout.RESULT, content)
