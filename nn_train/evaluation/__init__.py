"""Exact numbers from saved predictions: no Ray, no TensorFlow, no pages.

``merge_shards`` gathers what workers predicted, ``store_predictions`` keeps it, ``evaluate`` gives every
number of a run, ``compare`` sets runs against each other.
"""

from nn_train.evaluation.comparison import Comparison, compare
from nn_train.evaluation.curves import Curve
from nn_train.evaluation.numbers import Number
from nn_train.evaluation.predictions import PredictionError, Predictions, Shard, merge_shards
from nn_train.evaluation.run_evaluation import RunEvaluation, evaluate
from nn_train.evaluation.scores import log_probabilities
from nn_train.evaluation.storage import PredictionNote, load_predictions, store_predictions

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
