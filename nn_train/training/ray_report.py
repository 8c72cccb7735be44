"""A Keras callback that reports every epoch to Ray Train, with a checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import ray.train

from nn_train.engine.fit.callbacks import OnAllWorkers

MODEL = "model.keras"


def ray_report(checkpoint: bool = True) -> OnAllWorkers:
    """A callback for ``nn_train.fit`` under Ray's trainers: every epoch's logs are reported to Ray Train.

    Args:
        checkpoint: whether the chief adds ``model.keras`` to each report as a checkpoint.
    """
    return RayReport(checkpoint)


class RayReport(OnAllWorkers):
    """Reports on every worker, as Ray Train wants it; the model is the chief's."""

    def __init__(self, checkpoint: bool) -> None:
        super().__init__()
        self.checkpoint = checkpoint

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        metrics = {**(logs or {}), "epoch": epoch + 1}
        if not self.checkpoint or ray.train.get_context().get_world_rank() != 0:
            ray.train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            self.model.save(Path(folder) / MODEL)
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))
