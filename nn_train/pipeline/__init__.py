"""From nothing to a report: searches, trainings with what they found, evaluation. ``driver.run_pipeline``."""

from nn_train.pipeline.driver import PipelineResult, run_pipeline

__all__ = ["PipelineResult", "run_pipeline"]
