"""What an evaluation would refuse, seen before anything is trained: with models that have learnt nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nn_train.config import Config, config_from_dict
from nn_train.config.parse import config_to_dict
from nn_train.config.schema import ScalingConfig
from nn_train.evaluation import merge_shards
from nn_train.prediction.scorer import score
from nn_train.prediction.workers import answers, start_workers
from nn_train.ray_cluster.serialization import pack


def check_evaluable(configs: Sequence[tuple[str, Config]]) -> None:
    """Predict a few test examples with each named job's model as it begins, on one worker of the Ray that is joined.

    Raises:
        RequestError: a model could not be evaluated when it is trained.
    """
    import ray

    scaling = ScalingConfig(num_workers=1, cpus_per_worker=configs[0][1].scaling.cpus_per_worker)
    functions = {name for _, config in configs for name in config.functions.values()}
    (worker,) = start_workers(scaling, 1, pack(sorted(functions)))
    try:
        for name, config in configs:
            answers([worker.run(rehearse, config_to_dict(config))], name)
    finally:
        ray.kill(worker.actor)


def rehearse(settings: dict[str, Any]) -> None:
    """Predict the first test examples with a job's model as it begins. RequestError where a report would refuse."""
    import tensorflow as tf

    from nn_train.datasets.cache import load_for_run
    from nn_train.engine.preparation import prepare_model
    from nn_train.engine.strategy import Replicas

    config = config_from_dict(settings)
    data = load_for_run(config.data, config.seed)
    model = prepare_model(config, data, Replicas(tf.distribute.get_strategy(), 0, 1)).model
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        content = path.read_bytes()
    scored = score(content, settings, {"data": {"num_classes": data.num_classes}}, 0, 1, most=1)
    merge_shards([scored.shard], scored.num_examples, scored.task)
