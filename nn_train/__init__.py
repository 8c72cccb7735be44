"""Keras 3 training as distributed batch jobs on a Ray cluster.

``train``, ``tune``, ``evaluate`` and ``predict`` are the jobs as functions of Python: they take names, as job files do,
and functions, arrays and models. ``fit(model, …)`` is Keras' ``fit`` for a script of one's own, on all workers of
``TF_CONFIG``, and given a model ``evaluate`` and ``predict`` are Keras' own as well. Nothing heavy is imported until
one of them is called.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Config",
    "TfRecords",
    "evaluate",
    "fit",
    "install",
    "is_chief",
    "predict",
    "ray_report",
    "scope",
    "train",
    "tune",
]

if TYPE_CHECKING:
    from nn_train.config import Config
    from nn_train.datasets.tf_records import TfRecords
    from nn_train.engine.fit.calls import fit, install, is_chief, scope
    from nn_train.jobs.calls import evaluate, predict, train, tune
    from nn_train.training.ray_report import ray_report

WHERE = {"Config": "nn_train.config", "ray_report": "nn_train.training.ray_report"}
WHERE |= {"TfRecords": "nn_train.datasets.tf_records"}
WHERE |= dict.fromkeys(("fit", "install", "is_chief", "scope"), "nn_train.engine.fit.calls")
WHERE |= dict.fromkeys(("evaluate", "predict", "train", "tune"), "nn_train.jobs.calls")


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f"module 'nn_train' has no attribute {name!r}")
    return getattr(importlib.import_module(WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
