"""What the first processes of a search are for."""

from __future__ import annotations

import sys

from nn_train.config import Config
from nn_train.config.options import is_entry_point
from nn_train.ray_cluster.preload import Preload, preload_for


def driver_reads(config: Config) -> bool:
    """Whether the driver reads the data. Keras and a function of the user's import TensorFlow: those have a process."""
    return not is_entry_point(config.data.source) and config.data.source != "fashion_mnist"


def preload_for_trials(config: Config) -> Preload | None:
    """None where the first process is not a trial's: it reads the data, or waits for the workers of a trial."""
    if config.scaling.num_workers > 1 or not driver_reads(config):
        return None
    trials = min(config.search.num_trials, config.search.max_concurrent or sys.maxsize)
    return preload_for(config.scaling, trials, "nn_train.search.import_now")
