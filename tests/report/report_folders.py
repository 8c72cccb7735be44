"""Run folders, searches and evaluations of a few examples, as training and evaluating would leave them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from nn_train.evaluation import AnyPredictions, Predictions, store_predictions
from nn_train.report import ReportInputs, collect_runs

HOSTILE = "</script><img src=x onerror=alert(1)>"
CLASSES = ("zero", "<b>one</b>", 'two "2" & $x$', "three")
ROWS = 300
OUTPUT = {"binary": "logits", "multiclass": "logits", "regression": "numbers"}


def write_run(root: Path, folder: str, *, name: str | None = None, **changes: Any) -> Path:
    """A finished run of three epochs. ``changes``: ``seed``, ``model``, ``val_accuracy``, ``source``, ``result``."""
    seed, model, final = changes.get("seed", 0), changes.get("model", "mlp"), changes.get("val_accuracy", 0.9)
    name = name or folder
    path = root / folder
    path.mkdir(parents=True)
    lines = [
        {
            "epoch": epoch, "loss": 1 / epoch, "accuracy": final - 0.1 / epoch, "val_loss": 1.2 / epoch,
            "val_accuracy": final - 0.03 * (3 - epoch), "learning_rate": 1e-3 / epoch, "seconds": 1.5,
            "samples_per_second": 900.0 + seed, "world_size": 2,
        }
        for epoch in (1, 2, 3)
    ]  # fmt: skip
    config = {
        "name": name, "seed": seed, "data": {"source": changes.get("source", "mnist")},
        "model": {"name": model, "dropout": None}, "optimizer": {"learning_rate": 1e-3},
        "run": {"storage_path": str(root)},
    }  # fmt: skip
    result = {
        "schema": 1, "name": name, "status": "finished", "best_epoch": 3, "epochs": 3, "seed": seed,
        "metrics": {"best": lines[-1], "final": lines[-1]},
        "data": {
            "source": changes.get("source", "mnist"), "sha256": {"x_train": "ab" * 32},
            "examples": {"train": 900, "validation": 100, "test": ROWS}, "num_classes": 4, "class_names": list(CLASSES),
        },
        "model": {"parameters": 1234}, "versions": {"python": "3.11.9", "keras": "3.15.1"},
        "command": ["python", "-m", "jobs.train", "--name", name], "wall_seconds": 42.0, "world_size": 2,
        "device": "CPU", "started_at": f"2026-01-01T10:0{seed}:00Z", "finished_at": f"2026-01-01T10:0{seed}:42+00:00",
    }  # fmt: skip
    result.update(changes.get("result", {}))
    (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    (path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def write_search(folder: Path, trials: int = 40, third: str = "model.dropout", **changes: Any) -> Path:
    """A search in which the learning rate decides; some trials are stopped and two fail.

    ``third`` is the last of its three fields. ``changes``: fields of search.json.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with open(folder / "trials.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        params = ("config/optimizer.learning_rate", "config/model.activation", f"config/{third}")
        writer.writerow(("trial_id", "status", "cause", "epochs", "seconds", "val_accuracy", *params))
        for number in range(trials):
            rate, dropout = 10 ** rng.uniform(-4, -1), rng.uniform(0, 0.5)
            value = 0.95 - 0.05 * (np.log10(rate) + 2.5) ** 2 + rng.normal(0, 0.002)
            status, epochs = ("completed", 9) if value > 0.9 else ("stopped", 3)
            row = [f"t{number:03d}", status, "" if epochs == 9 else "asha", epochs, epochs * 1.5, f"{value:.6f}"]
            if number in (5, 6):
                row[1:3], row[5] = ("failed", HOSTILE), ""
            writer.writerow((*row, repr(float(rate)), rng.choice(["relu", "tanh"]), repr(float(dropout))))
    about = {"schema": 1, "metric": "val_accuracy", "mode": "max", "algorithm": "random", "rungs": [1, 3, 9]}
    (folder / "search.json").write_text(json.dumps({**about, "seconds": 99.5, **changes}), encoding="utf-8")
    return folder


def some_predictions(seed: int, *, rows: int = ROWS, classes: int = 4, noise: float = 1.2) -> Predictions:
    """The same labels for every seed, logits that favour them."""
    labels = np.random.default_rng(99).integers(0, classes, rows)
    logits = np.eye(classes)[labels] * 3 + np.random.default_rng(seed).normal(0, noise, (rows, classes))
    return Predictions(np.arange(rows), labels, logits.astype(np.float32))


def some_images(inputs: ReportInputs, rows: int = ROWS) -> dict[str, dict[int, np.ndarray]]:
    """Pictures uint8 [8, 8] for each run by example id."""
    return for_each_run(inputs, some_pixels(rows))


def for_each_run(inputs: ReportInputs, pixels: np.ndarray) -> dict[str, dict[int, np.ndarray]]:
    return {run.stem: dict(enumerate(pixels)) for run in inputs.runs}


def some_pixels(rows: int = ROWS) -> np.ndarray:
    """Pictures uint8 [N, 8, 8]."""
    return np.random.default_rng(5).integers(0, 256, (rows, 8, 8), dtype=np.uint8)


def evaluate_runs(
    run_dirs: Sequence[Path],
    output: Path,
    searches: Sequence[Path] = (),
    answers: Sequence[AnyPredictions] | None = None,
) -> Path:
    """What the evaluation job does before it renders."""
    records = collect_runs(run_dirs, output, searches)
    for index, record in enumerate(records):
        predictions = answers[index] if answers else some_predictions(index, noise=1.2 + 0.1 * index)
        store_predictions(
            output / "predictions", record.stem, predictions, output=OUTPUT[predictions.task], seconds=0.5
        )
    return output
