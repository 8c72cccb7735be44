"""Where the metrics of trials go besides the journal: TensorBoard and MLflow.

The driver writes them: it is told of every epoch of every trial, also of trials of several workers and of lost ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

from nn_train.config import Config
from nn_train.config.space import Space
from nn_train.errors import RequestError
from nn_train.runs.loggers import Logger, Loggers
from nn_train.search.mlflow_runs import MLflowRuns
from nn_train.search.tensorboard_curves import TensorBoardCurves
from nn_train.storage.folder import ResultsFolder

KINDS: dict[str, Callable[[Config, Space, ResultsFolder], Logger]] = {
    "tensorboard": TensorBoardCurves,
    "mlflow": MLflowRuns,
}


@contextlib.contextmanager
def loggers_of_search(
    config: Config, space: Space, folder: ResultsFolder, warn: Callable[[str], object], must_work: bool
) -> Iterator[Loggers]:
    """Make the loggers of one session of a search, which learn at its end how it ended.

    Args:
        must_work: whether one that cannot be made ends the search, with RequestError.
    """
    makers = {name: partial(KINDS[name], config, space, folder) for name in config.run.loggers}
    loggers = Loggers(makers, warn, RequestError if must_work else None)
    try:
        yield loggers
    except BaseException as error:
        loggers.close("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    loggers.close("FINISHED")
