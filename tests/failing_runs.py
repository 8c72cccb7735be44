"""Trainings of ``failing_models``: mostly two workers, twelve steps an epoch, a checkpoint at every pause."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nn_train import train
from nn_train.config import Config, config_from_dict

TIMES = ("seconds", "samples_per_second")
PATIENCE = 15  # seconds: more than a start of TensorFlow keeps a process from answering on a busy machine


def run(folder: Path, model: str, name: str | None = None, **options: Any) -> list[dict[str, Any]]:
    """Train, and return the events. The arguments are those of ``settings``."""
    events: list[dict[str, Any]] = []
    train(settings(folder, model, name, **options), on_event=events.append)
    return events


def settings(
    folder: Path, model: str, name: str | None = None, callbacks: str | None = None, workers: int = 2, **run: Any
) -> Config:
    """The job of a model; its name is that of the model, if none is given. ``run``: more of that section."""
    return config_from_dict(
        {
            "name": name or model,
            "model": {"name": f"failing_models:{model}"},
            "data": {"source": "user_data:arrays"},
            "train": {"batch_size": 8, "epochs": 3, "checkpoint_every_seconds": 1e-3, "callbacks": callbacks},
            "scaling": {"num_workers": workers},
            "run": {"storage_path": str(folder), "loggers": [], **run},
        }
    )


def what_must_not_differ(folder: Path, name: str) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The lines of ``metrics.jsonl`` without times, and all variables after the last epoch."""
    from nn_train.runs.checkpoints import unpack

    lines = (folder / name / "metrics.jsonl").read_text().splitlines()
    rows = [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in lines]
    newest = max((folder / name / "checkpoints").glob("*.ckpt"))
    return rows, [array.tobytes() for array in unpack(newest.read_bytes()).variables]
