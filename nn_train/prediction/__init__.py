"""Predicting with finished runs on a Ray cluster: test sets and a report (``driver.evaluate_runs``), new examples."""
