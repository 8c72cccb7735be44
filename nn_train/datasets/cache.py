"""The examples of a run, and of several runs in one process."""

from __future__ import annotations

import functools
import random
import sys

import numpy as np

from nn_train.config.entry_points import function_of
from nn_train.config.options import is_entry_point
from nn_train.config.schema import DataConfig
from nn_train.datasets.examples import SplitData
from nn_train.datasets.sources import load_data

TENSORFLOW = "tensorflow"


def load_for_run(settings: DataConfig, seed: int) -> SplitData:
    """As ``load_data``, which prints what takes long. A function of the user's is called for every run: it may draw
    random numbers."""
    if not is_entry_point(settings.source):
        return load_once(settings)
    function_of("data.source", settings.source)  # whose module may import TensorFlow
    had_tensorflow = TENSORFLOW in sys.modules
    seed_function(settings.source, seed)
    data = load_data(settings, print)
    if not had_tensorflow and TENSORFLOW in sys.modules:  # imported by the function, and not seeded then
        seed_function(settings.source, seed)
        data = load_data(settings, print)
    return data


def seed_function(source: str, seed: int) -> None:
    """Before a function of the user's gives the examples: what it draws without a seed of its own, such as a split or a
    stream's shuffle, is the same on all workers, and in a trial, its run and the evaluation.

    As ``keras.utils.set_random_seed``, but that TensorFlow is not imported for it.
    """
    if is_entry_point(source):
        random.seed(seed)
        np.random.seed(seed)
        if TENSORFLOW in sys.modules:
            import keras

            keras.utils.set_random_seed(seed)


@functools.lru_cache(maxsize=1)
def load_once(settings: DataConfig) -> SplitData:
    """The examples of a file or a built-in name, read once for all runs of this process."""
    return load_data(settings, print)
