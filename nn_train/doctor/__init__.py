"""What is behind ``python -m jobs.doctor``: checks of the place that a job would run in."""

from nn_train.doctor.examination import examine

__all__ = ["examine"]
