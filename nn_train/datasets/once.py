"""The examples of several runs in one process."""

from __future__ import annotations

import functools

from nn_train.config.options import is_entry_point
from nn_train.config.schema import DataConfig
from nn_train.datasets.examples import SplitData
from nn_train.datasets.sources import load_data


def load_for_run(data: DataConfig) -> SplitData:
    """As ``load_data``, which prints what takes long. A function of the user's is called for every run: it may draw
    random numbers."""
    return load_data(data, print) if is_entry_point(data.source) else load_once(data)


@functools.lru_cache(maxsize=1)
def load_once(data: DataConfig) -> SplitData:
    """The examples of a file or a built-in name, read once for all runs of this process."""
    return load_data(data, print)
