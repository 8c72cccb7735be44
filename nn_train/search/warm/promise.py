"""What is said where a user's function does not keep the promise of ``search.reuse_graph``."""

from __future__ import annotations

from nn_train.config import Config
from nn_train.errors import RequestError

PROMISE = "search.reuse_graph: "  # so begins why a whole search ends, and not only a trial


def broken(config: Config, how: str) -> RequestError:
    """The error of a trial whose model is not like that of the graph it would reuse."""
    return RequestError(
        f"{PROMISE}two models that {config.model.name} made for the same settings {how}, so that trials cannot share a "
        "graph: let it depend on its arguments and the config alone, with model.dropout and model.l2 as rates and "
        "penalties of Keras' layers only; or set search.reuse_graph to false"
    )
