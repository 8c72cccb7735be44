"""Hyperparameter search as a job on a Ray cluster."""

from nn_train.search.driver import SearchOutcome, search

__all__ = ["SearchOutcome", "search"]
