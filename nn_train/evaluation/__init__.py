"""Exact numbers from saved predictions: no Ray, no TensorFlow, no pages.

``merge_shards`` gathers what workers predicted, ``store_predictions`` keeps it, ``evaluate`` gives every
number of a run, ``compare`` sets runs against each other.

Each is imported when it is asked for: who predicts needs neither SciPy nor scikit-learn.
"""

import importlib
from typing import TYPE_CHECKING, Any

__all__ = [
    "Comparison",
    "Curve",
    "Number",
    "PredictionError",
    "PredictionNote",
    "Predictions",
    "RunEvaluation",
    "Shard",
    "compare",
    "evaluate",
    "load_predictions",
    "log_probabilities",
    "merge_shards",
    "store_predictions",
]

if TYPE_CHECKING:
    from nn_train.evaluation.comparison import Comparison, compare
    from nn_train.evaluation.curves import Curve
    from nn_train.evaluation.numbers import Number
    from nn_train.evaluation.predictions import PredictionError, Predictions, Shard, merge_shards
    from nn_train.evaluation.run_evaluation import RunEvaluation, evaluate
    from nn_train.evaluation.scores import log_probabilities
    from nn_train.evaluation.storage import PredictionNote, load_predictions, store_predictions

WHERE = dict.fromkeys(("Comparison", "compare"), "comparison")
WHERE |= dict.fromkeys(("Curve",), "curves")
WHERE |= dict.fromkeys(("Number",), "numbers")
WHERE |= dict.fromkeys(("PredictionError", "Predictions", "Shard", "merge_shards"), "predictions")
WHERE |= dict.fromkeys(("RunEvaluation", "evaluate"), "run_evaluation")
WHERE |= dict.fromkeys(("log_probabilities",), "scores")
WHERE |= dict.fromkeys(("PredictionNote", "load_predictions", "store_predictions"), "storage")


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{WHERE[name]}"), name)
