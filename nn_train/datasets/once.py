"""The examples of a run, and of several runs in one process."""

from __future__ import annotations

import functools

from nn_train.config import Config
from nn_train.config.options import is_entry_point
from nn_train.config.schema import DataConfig
from nn_train.datasets.examples import SplitData
from nn_train.datasets.sources import load_data


def load_for_run(config: Config) -> SplitData:
    """As ``load_data``, which prints what takes long. A function of the user's is called for every run: it may draw
    random numbers."""
    seed_function(config)
    return load_data(config.data, print) if is_entry_point(config.data.source) else load_once(config.data)


def seed_function(config: Config) -> None:
    """Before a function of the user's gives the examples: what it draws without a seed of its own, such as a split or a
    stream's shuffle, is the same on all workers, and in a trial, its run and the evaluation."""
    if is_entry_point(config.data.source):
        import keras

        keras.utils.set_random_seed(config.seed)


@functools.lru_cache(maxsize=1)
def load_once(data: DataConfig) -> SplitData:
    """The examples of a file or a built-in name, read once for all runs of this process."""
    return load_data(data, print)
