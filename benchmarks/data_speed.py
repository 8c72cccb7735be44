"""Seconds an epoch of the CNN on MNIST whose rows are read from ``.npy`` files, against arrays in memory, in one run.

    python -m benchmarks.data_speed [--json FILE]

The cases take turns, ROUNDS times, each time in a fresh process: a machine that others use as well is slow for minutes,
which must not hit one case alone. Shown is the median over the epochs of all rounds, the first of each round (tracing)
left out. The files are in the page cache: what is compared is the work, not a disk. One worker of one thread, 60,000
examples.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from nn_train.engine.addresses import free_addresses, tf_config

ROUNDS, EPOCHS = 3, 3
MODELS = {"cnn": 512, "mlp": 128}  # and their batches
TARGET = 0.9  # of the speed in memory, for the CNN


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--worker", nargs=2, metavar=("MODEL", "SOURCE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(train(*arguments.worker)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        save_mnist(Path(folder))
        rows = [measure(model, folder) for model in MODELS]
    print(f"{'model':<6} {'in memory':>10} {'by rows':>10} {'speed':>6} {'waited':>7}")
    for row in rows:
        print(
            f"{row['model']:<6} {row['memory']:>9.3f}s {row['rows']:>9.3f}s {row['ratio']:>6.2f} {row['waited']:>6.3f}s"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"rounds": ROUNDS, "cases": rows}, indent=1) + "\n")
    met = rows[0]["ratio"] >= TARGET
    print(f"target for the CNN: at least {TARGET} of the speed in memory: {'met' if met else 'missed'}")
    return 0 if met else 1


def save_mnist(folder: Path) -> None:
    """MNIST as a folder of ``.npy`` files."""
    from nn_train.datasets.sources import read_mnist

    for name, array in read_mnist().items():
        np.save(folder / f"{name}.npy", array)


def measure(model: str, folder: str) -> dict[str, Any]:
    """The medians of both cases, of rounds in turn."""
    seconds: dict[str, list[float]] = {"mnist": [], folder: []}
    waited: list[float] = []
    for _ in range(ROUNDS):
        for source, found in seconds.items():
            told = run_worker(model, source)
            found += told["seconds"][1:]
            waited += told["waited"][1:]
    memory, rows = (statistics.median(found) for found in seconds.values())
    waits = statistics.median(waited) if waited else 0.0
    return {"model": model, "memory": memory, "rows": rows, "ratio": memory / rows, "waited": waits}


def run_worker(model: str, source: str) -> dict[str, Any]:
    """What ``train`` gives in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.data_speed", "--worker", model, source]
    environment = {**os.environ, "TF_CONFIG": tf_config(free_addresses("127.0.0.1", 1), 0), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{model} on {source} failed:\n{done.stderr[-3000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def train(model: str, source: str) -> dict[str, Any]:
    """Seconds of each epoch, and of them those in which steps waited for rows."""
    import time

    from nn_train.config import config_from_dict
    from nn_train.config.schema import ScalingConfig
    from nn_train.runs.worker import join_process

    replicas = join_process(ScalingConfig(num_workers=1, cpus_per_worker=1), 0, 1)
    from nn_train.datasets import load_data
    from nn_train.engine.preparation import prepare_model

    sections = {"model": {"name": model}, "data": {"source": source, "validation_fraction": 0}}
    config = config_from_dict({"name": "speed", "train": {"batch_size": MODELS[model]}, **sections})
    data = load_data(config.data)
    loop = prepare_model(config, data, replicas).loop()
    seconds, waited = [], [0.0]
    for epoch in range(EPOCHS):
        began = time.perf_counter()
        loop.train_epoch(epoch)
        seconds.append(time.perf_counter() - began)
        waited.append(loop.waited or 0.0)
    by_epoch = np.diff(waited).tolist() if loop.waited is not None else []
    return {"seconds": seconds, "waited": by_epoch}


if __name__ == "__main__":
    sys.exit(main())
