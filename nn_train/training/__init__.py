"""Training as a job on a Ray cluster."""

from nn_train.training.driver import TrainResult, train

__all__ = ["TrainResult", "train"]
