"""Keras 3 training as distributed batch jobs on a Ray cluster.

``nn_train.train(config)`` is the one call behind ``python -m jobs.train``. Nothing heavy is imported
until it is called.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Config", "train"]

if TYPE_CHECKING:
    from nn_train.config import Config
    from nn_train.training import train


def __getattr__(name: str) -> Any:
    if name == "train":
        from nn_train.training import train

        return train
    if name == "Config":
        from nn_train.config import Config

        return Config
    raise AttributeError(f"module 'nn_train' has no attribute {name!r}")
