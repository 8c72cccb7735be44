"""Hyperparameter search as a job on a Ray cluster."""

from nn_train.search.driver import SearchOutcome, plan, search

__all__ = ["SearchOutcome", "plan", "search"]
