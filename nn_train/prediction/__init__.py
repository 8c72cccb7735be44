"""Predicting the test set with finished runs, on a Ray cluster, and reporting on it: ``driver.evaluate_runs``."""
