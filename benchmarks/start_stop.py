"""What a job costs besides its training: seconds from the command to the prompt.

    python -m benchmarks.start_stop [--json FILE]

The MLP for one epoch on two workers, ``jobs.train`` and Ray's own ``TensorflowTrainer`` in turn, ROUNDS times, each in
an empty folder; then ``--help`` and a misspelt field. Shown are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

ROUNDS = 3
PARSINGS = 5
MNIST = str(files("nn_train.datasets") / "data" / "mnist.npz")
STOCK = Path(__file__).parent / "scripts" / "stock_trainer.py"
# What is measured, which ratio or number of seconds it may reach at most.
TARGETS = {
    "jobs.train against TensorflowTrainer": 0.5,
    "last epoch's line to the prompt": 2.0,
    "--help": 0.7,
    "a misspelt field": 0.7,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    ours, tails, stock = [], [], []
    for turn in range(1, ROUNDS + 1):
        with tempfile.TemporaryDirectory() as folder:
            whole, tail = run_ours(folder)
            ours.append(whole)
            tails.append(tail)
        with tempfile.TemporaryDirectory() as folder:
            stock.append(run_stock(folder))
        numbers = f"jobs.train {ours[-1]:.1f} s, {tails[-1]:.2f} s of it after the last epoch's line"
        print(f"round {turn} of {ROUNDS}  {numbers}; TensorflowTrainer {stock[-1]:.1f} s", flush=True)
    values = {
        "jobs.train against TensorflowTrainer": statistics.median(ours) / statistics.median(stock),
        "last epoch's line to the prompt": statistics.median(tails),
        "--help": statistics.median(parsing("--help", code=0) for _ in range(PARSINGS)),
        "a misspelt field": statistics.median(parsing("--train.epoch", "3", code=2) for _ in range(PARSINGS)),
    }
    print()
    for name, value in values.items():
        verdict = "reached" if value <= TARGETS[name] else "MISSED"
        print(f"{name:40} {value:6.2f}{' s' if 'against' not in name else '  '}  at most {TARGETS[name]}: {verdict}")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        content: dict[str, Any] = {"machine": machine, "jobs_train": ours, "tails": tails, "stock": stock}
        arguments.json.write_text(json.dumps({**content, "values": values, "targets": TARGETS}, indent=2) + "\n")
    return 0 if all(value <= TARGETS[name] for name, value in values.items()) else 1


def run_ours(folder: str) -> tuple[float, float]:
    """Seconds of the whole command, and of its end after the line of the last epoch."""
    command = [sys.executable, "-m", "jobs.train", "--train.epochs", "1", "--run.storage_path", folder]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    printed = began
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch "):
            printed = time.perf_counter()
    if process.wait() or printed == began:
        raise SystemExit("jobs.train failed")
    ended = time.perf_counter()
    return ended - began, ended - printed


def run_stock(folder: str) -> float:
    """Seconds of the whole script."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, STOCK, MNIST, folder], capture_output=True, text=True, env=environment())
    if done.returncode:
        raise SystemExit(f"the stock script failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - began


def parsing(*words: str, code: int) -> float:
    """Seconds of a command that only parses."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "jobs.train", *words], capture_output=True, env=environment())
    if done.returncode != code:
        raise SystemExit(f"{words} ended with code {done.returncode}, expected {code}")
    return time.perf_counter() - began


def environment() -> dict[str, str]:
    """Without a cluster to join."""
    return {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}


if __name__ == "__main__":
    sys.exit(main())
