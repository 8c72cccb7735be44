"""Imports Ray Tune without Ray Data and pandas, which it imports for what is not used here: in half the time."""

from nn_train.config.later import left_out

with left_out("ray.data", "pandas"):
    import nn_train.search.trainable  # noqa: F401
