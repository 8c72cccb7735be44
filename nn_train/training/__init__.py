"""Training as a job on a Ray cluster."""

from nn_train.training.driver import TrainResult, train, train_all

__all__ = ["TrainResult", "train", "train_all"]
