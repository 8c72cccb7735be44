"""Which loop trains a model: within a graph where its parts add up, batch by batch where they do not."""

from __future__ import annotations

from nn_train.config import Config
from nn_train.datasets import SplitData
from nn_train.engine.loop import Loop
from nn_train.engine.preparation import PreparedModel
from nn_train.engine.strategy import Replicas
from nn_train.engine.whole_loop import WholeLoop


def loop_of(prepared: PreparedModel, config: Config, data: SplitData, replicas: Replicas) -> Loop:
    """The loop over ``data`` that a job asks for."""
    given = (data, replicas, config.train.batch_size, config.seed, prepared.one_hot_depth)
    return Loop(prepared.model, *given) if prepared.whole is None else WholeLoop(prepared.whole, *given)
