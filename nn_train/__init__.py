"""Keras 3 training as distributed batch jobs on a Ray cluster.

``nn_train.train(config)`` is the one call behind ``python -m jobs.train``; ``nn_train.fit(model, …)`` is Keras' ``fit``
for a script of one's own, on all workers of ``TF_CONFIG``. Nothing heavy is imported until one of them is called.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Config", "evaluate", "fit", "install", "predict", "ray_report", "scope", "train"]

if TYPE_CHECKING:
    from nn_train.config import Config
    from nn_train.engine.fit.calls import evaluate, fit, install, predict, scope
    from nn_train.training import train
    from nn_train.training.ray_report import ray_report

WHERE = {"train": ("nn_train.training", "train"), "Config": ("nn_train.config", "Config")}
WHERE |= {name: ("nn_train.engine.fit.calls", name) for name in ("evaluate", "fit", "install", "predict", "scope")}
WHERE |= {"ray_report": ("nn_train.training.ray_report", "ray_report")}


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f"module 'nn_train' has no attribute {name!r}")
    module, attribute = WHERE[name]
    return getattr(importlib.import_module(module), attribute)
