"""Trainings of the presets, and what they leave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.jobs import Jobs
from benchmarks.gpu.rows import Deadline, NotRunError

MNIST = files("nn_train.datasets") / "data" / "mnist.npz"
TOLD = "worker.json"  # what worker_report.py writes into the folder of a run
VERBOSE = "--verbose"  # of all jobs: what TensorFlow says of a card that fails is wanted where there is none
HOLD = "GPU_CHECK_HOLD"  # a variable of jobs that are to be killed: their last epoch waits for that, on fast cards too


@dataclass(frozen=True)
class Plan:
    """On what the checks are run.

    Attributes:
        gpu: on GPUs; else, for the tests of the checks, on the processor.
        examples: of MNIST's to train on, and a quarter as many to test on; None: all.
        epochs: of each training.
        floors: preset to the accuracy on validation examples that it reaches at least, of seeds tried on CPUs.
        seconds: for all.
    """

    gpu: bool
    examples: int | None
    epochs: int
    floors: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class Run:
    """A finished training: its folder, the lines of metrics.jsonl, and what its first worker told of itself."""

    folder: Path
    rows: list[dict[str, Any]]
    worker: dict[str, Any]

    @property
    def last(self) -> dict[str, Any]:
        return self.rows[-1]


def read_run(folder: Path) -> Run:
    """Of a folder that a finished job has left."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return Run(folder, rows, json.loads((folder / TOLD).read_text()))


class Bench(Jobs):
    """Trains on ``gpus`` cards (0 where there are none), or as the plan says.

    Attributes:
        runs: the finished trainings by name, for the checks that build on them.
    """

    def __init__(self, plan: Plan, gpus: int, folder: Path, deadline: Deadline) -> None:
        super().__init__(folder, deadline, choose_cards=plan.gpu)
        self.plan, self.gpus = plan, gpus
        self.runs: dict[str, Run] = {}
        self.data = [] if plan.examples is None else ["--data.source", str(few_examples(plan.examples, folder))]

    def needed(self, name: str) -> Run:
        """An earlier training. NotRunError where there is none."""
        if name not in self.runs:
            raise NotRunError(f"it needs the run {name}, which there is not")
        return self.runs[name]

    def scaling(self, share: float) -> list[str]:
        """The arguments that give each worker a share of a card."""
        return ["--scaling.use_gpu", "true", "--scaling.gpus_per_worker", str(share)] if self.plan.gpu else []

    def train(
        self,
        name: str,
        preset: str,
        *words: str,
        workers: int = 1,
        share: float = 1.0,
        environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Train a preset with further arguments; see ``job``."""
        command = self.training(name, preset, *words, workers=workers, share=share)
        self.job(name, *command, cards=workers if share == 1 else 1, environment=environment)
        self.runs[name] = read_run(self.folder / name)
        return self.runs[name]

    def training(self, name: str, preset: str, *words: str, workers: int = 1, share: float = 1.0) -> list[str]:
        """The arguments of Python for a training."""
        fixed = ["--name", name, "--run.storage_path", str(self.folder), "--train.epochs", str(self.plan.epochs)]
        told = ["--train.callbacks", "benchmarks.gpu.worker_report:build", "--scaling.num_workers", str(workers)]
        command = ["-m", "jobs.train", "--config", preset, *fixed, *told, *self.data, *self.scaling(share)]
        return [*command, *words, VERBOSE]


def few_examples(count: int, folder: Path) -> Path:
    """An .npz of the first examples of MNIST: ``count`` to train on, a quarter as many to test on."""
    path = folder / "few.npz"
    with MNIST.open("rb") as file, np.load(file) as arrays:
        parts = {name: arrays[name][: count if name.endswith("train") else count // 4] for name in arrays.files}
    np.savez(path, **parts)
    return path
