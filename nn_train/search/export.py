"""The best trials as ordinary runs: what ``jobs.train`` would have left, made from the weights that were kept."""

from __future__ import annotations

from nn_train import runs
from nn_train.config import Config, dump_yaml
from nn_train.config.space import with_values
from nn_train.errors import StorageError
from nn_train.import_tensorflow import import_tensorflow
from nn_train.runs import RunFolder
from nn_train.search.journal import Record, trial_folder
from nn_train.search.trial import BEST


def export_models(config: Config, folder: RunFolder, records: list[Record], command: tuple[str, ...]) -> None:
    """Write ``best/<place>_<trial>/`` for each of ``records``, and nothing else below ``best/``.

    Runs in a process of its own, since it needs TensorFlow. A run that is there already is left alone. Trials whose
    weights are gone, because ``search.keep_best`` was smaller when they ended, are left out.
    """
    import_tensorflow()
    records = [record for record in records if trial_folder(folder, record.trial).exists(BEST)]
    names = [f"{place}_{record.trial}" for place, record in enumerate(records, start=1)]
    places = [folder.inside(f"{runs.BEST_RUNS}/{name}") for name in names]
    if folder.folders(runs.BEST_RUNS) == sorted(names) and all(run.exists(runs.RESULT) for run in places):
        return
    folder.inside(runs.BEST_RUNS).clear()
    for run, record in zip(places, records, strict=True):
        export_model(config, folder, run, record, command)


def export_model(config: Config, folder: RunFolder, run: RunFolder, record: Record, command: tuple[str, ...]) -> None:
    """One run."""
    import tensorflow as tf

    from nn_train.checkpoints import assign, unpack
    from nn_train.datasets import load_data
    from nn_train.preparation import prepare_model
    from nn_train.replication import Replicas
    from nn_train.training.record import finished_record
    from nn_train.training.worker import save_model

    job = with_values(config, {**record.values, "name": f"{config.title}_{record.trial}"[:100]})
    data = load_data(job.data)
    model = prepare_model(job, data, Replicas(strategy=tf.distribute.get_strategy(), rank=0, size=1))
    weights = trial_folder(folder, record.trial)
    kept = unpack(weights.read(BEST))
    if kept is None:
        raise StorageError(f"{weights.path(BEST)} is damaged")
    assign(model.weights, kept.variables)
    run.write(runs.CONFIG, dump_yaml(job).encode())
    run.write_lines(runs.METRICS, record.rows)
    save_model(model, run)
    size = config.scaling.num_workers
    content = finished_record(job, record.rows, data, model, size, command, record.started, record.finished)
    run.write_json(runs.RESULT, content)
