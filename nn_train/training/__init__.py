"""Training as a job on a Ray cluster: workers placed, replaced when they are lost, and told of."""

from nn_train.training.driver import TrainResult, train, train_all

__all__ = ["TrainResult", "train", "train_all"]
