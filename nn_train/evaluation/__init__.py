"""Exact numbers from saved predictions: no Ray, no TensorFlow, no pages.

``merge_shards`` gathers what workers predicted, ``store_predictions`` keeps it; ``run_evaluation.evaluate`` gives every
number of a run, ``comparison.compare`` sets runs against each other. What needs SciPy or scikit-learn is imported from
its own module: who predicts needs neither.
"""

from nn_train.evaluation.numbers import Number
from nn_train.evaluation.predictions import (
    AnyPredictions,
    NumberPredictions,
    PredictionError,
    Predictions,
    Shard,
    merge_shards,
)
from nn_train.evaluation.storage import PredictionNote, load_predictions, store_predictions

__all__ = [
    "AnyPredictions",
    "Number",
    "NumberPredictions",
    "PredictionError",
    "PredictionNote",
    "Predictions",
    "Shard",
    "load_predictions",
    "merge_shards",
    "store_predictions",
]
