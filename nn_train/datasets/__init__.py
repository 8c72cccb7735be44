"""The examples: read from a source, checked once, split into training, validation and test."""

from nn_train.datasets.examples import Examples, IndexedExamples, SplitData
from nn_train.datasets.sources import load_data, load_test

__all__ = ["Examples", "IndexedExamples", "SplitData", "load_data", "load_test"]
