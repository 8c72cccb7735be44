"""The best trials as ordinary runs: what ``jobs.train`` would have left, made from the weights that were kept."""

from __future__ import annotations

from nn_train.config import Config, dump_yaml
from nn_train.config.space import with_values
from nn_train.engine.import_tensorflow import import_tensorflow
from nn_train.errors import StorageError
from nn_train.ray_cluster.parcels import unpack
from nn_train.search.journal import Record, trial_folder
from nn_train.search.trial_worker import BEST
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder


def export_models(
    config: Config, folder: ResultsFolder, records: list[Record], command: tuple[str, ...], parcel: bytes
) -> None:
    """Write ``best/<place>_<trial>/`` for each of ``records``, and nothing else below ``best/``.

    Runs in a process of its own, since it needs TensorFlow. A run that is there already is left alone. Trials whose
    weights are gone, because ``search.keep_best`` was smaller when they ended, are left out.
    """
    import_tensorflow()
    unpack(parcel)
    records = [record for record in records if trial_folder(folder, record.trial).exists(BEST)]
    names = [f"{place}_{record.trial}" for place, record in enumerate(records, start=1)]
    places = [folder.inside(f"{layout.BEST_RUNS}/{name}") for name in names]
    if folder.folders(layout.BEST_RUNS) == sorted(names) and all(run.exists(layout.RESULT) for run in places):
        return
    folder.inside(layout.BEST_RUNS).clear()
    for run, record in zip(places, records, strict=True):
        export_model(config, folder, run, record, command)


def export_model(
    config: Config, folder: ResultsFolder, run: ResultsFolder, record: Record, command: tuple[str, ...]
) -> None:
    """One run."""
    import tensorflow as tf

    from nn_train.datasets.class_weights import with_class_weights
    from nn_train.datasets.once import load_for_run
    from nn_train.engine.preparation import prepare_model
    from nn_train.engine.strategy import Replicas
    from nn_train.runs.checkpoints import assign, unpack
    from nn_train.runs.own_code import own_code
    from nn_train.runs.record import finished_record
    from nn_train.runs.worker import save_model

    job = with_values(config, {**record.values, "name": f"{config.job_name}_{record.trial}"[:100]})
    data = with_class_weights(load_for_run(job), job.train.class_weight)
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
    content = finished_record(
        job, record.rows, data, model, size, command, record.started, record.finished, own_code(job)
    )
    run.write_json(layout.RESULT, content)
