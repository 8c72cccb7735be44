"""Predicting the test set with finished runs, on a Ray cluster, and reporting on it."""

from nn_train.prediction.driver import evaluate_runs

__all__ = ["evaluate_runs"]
