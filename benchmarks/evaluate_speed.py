"""Seconds from command to prompt of evaluating three MNIST runs, and of rendering a report of 100 runs.

    python -m benchmarks.evaluate_speed [--runs RUN_DIR RUN_DIR RUN_DIR] [--json FILE]

Without ``--runs`` three runs of one epoch are trained first, which is not timed. The 100 runs are those of
the three, each with its own noise on the logits. Processor time and peak memory are those of the command's
own process, without Ray's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml

from nn_train.evaluation import Predictions, store_predictions
from nn_train.evaluation.storage import load_predictions
from nn_train.report import collect_runs

TRAINED = (("mnist_mlp", 1), ("mnist_mlp", 2), ("mnist_cnn", 1))  # preset and seed
RENDERED = 100
EVALUATE_TARGET, RENDER_TARGET = 25.0, 30.0  # seconds on 2 cores
NOISE = 0.5  # standard deviation added to the logits, enough to make every curve another


@dataclass(frozen=True)
class Row:
    """What one command took."""

    case: str
    seconds: float
    target: float
    cpu_seconds: float
    mebibytes: float

    @property
    def reached(self) -> bool:
        return self.seconds < self.target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs=3, type=Path, metavar="RUN_DIR", help="finished MNIST runs to use")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = arguments.runs or train(folder / "runs")
        rows = [evaluate_three(runs, folder / "three"), render_many(runs, folder)]
    print(f"{'':42} {'seconds':>8} {'target':>8} {'CPU s':>8} {'MiB':>8}")
    for row in rows:
        numbers = f"{row.seconds:8.1f} {row.target:8.0f} {row.cpu_seconds:8.1f} {row.mebibytes:8.0f}"
        print(f"{row.case:42} {numbers}  {'reached' if row.reached else 'MISSED'}")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        arguments.json.write_text(json.dumps({"machine": machine, "cases": [asdict(r) for r in rows]}, indent=2) + "\n")
    return 0 if all(row.reached for row in rows) else 1


def train(storage: Path) -> list[Path]:
    """Three runs of one epoch."""
    names = [f"{preset}_{seed}" for preset, seed in TRAINED]
    for name, (preset, seed) in zip(names, TRAINED, strict=True):
        words = ["--config", preset, "--name", name, "--seed", str(seed), "--train.epochs", "1"]
        timed("jobs.train", *words, "--run.storage_path", str(storage))
    return [storage / name for name in names]


def evaluate_three(runs: Sequence[Path], output: Path) -> Row:
    """The evaluation job on two workers."""
    paths = [str(run) for run in runs]
    took = timed("jobs.evaluate", "--runs", *paths, "--output", str(output), "--scaling.num_workers", "2")
    return Row("evaluate 3 runs on 2 workers, and report", took[0], EVALUATE_TARGET, *took[1:])


def render_many(runs: Sequence[Path], folder: Path) -> Row:
    """The job without runs: a report from saved predictions. ``folder / "three"`` holds those of ``runs``."""
    output = folder / "many"
    copies = [copy_run(runs[number % len(runs)], folder / "copies", number) for number in range(RENDERED)]
    originals = json.loads((folder / "three" / "evaluation.json").read_text(encoding="utf-8"))["runs"]
    known = [load_predictions(folder / "three" / "predictions", run["stem"])[0] for run in originals]
    for number, record in enumerate(collect_runs(copies, output)):
        exact = known[number % len(known)]
        assert isinstance(exact, Predictions)
        noise = np.random.default_rng(number).normal(0, NOISE, exact.logits.shape)
        noisy = Predictions(exact.example_id, exact.y_true, (exact.logits + noise).astype(np.float32))
        store_predictions(output / "predictions", record.stem, noisy, output="logits", seconds=1.0)
    took = timed("jobs.evaluate", "--output", str(output))
    return Row(f"render {RENDERED} runs from saved predictions", took[0], RENDER_TARGET, *took[1:])


def copy_run(run: Path, folder: Path, number: int) -> Path:
    """The run under another name and seed, so that a third of the copies are seeds of one configuration."""
    copy = folder / f"run{number:03d}"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("checkpoints", "model.keras"))
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    (copy / "config.yaml").write_text(yaml.safe_dump({**config, "name": copy.name, "seed": number}), encoding="utf-8")
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    (copy / "result.json").write_text(json.dumps({**result, "name": copy.name, "seed": number}), encoding="utf-8")
    return copy


def timed(module: str, *words: str) -> tuple[float, float, float]:
    """Run a job; returns its wall seconds, and its process' CPU seconds and peak memory in MiB."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([sys.executable, "-m", module, *words], stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{module} failed:\n{output.read().decode(errors='replace')[-2000:]}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
