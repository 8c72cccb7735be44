"""Seconds an epoch of MNIST, against what a user would write instead, in one run.

    python -m benchmarks.train_speed [--cases TEXT …] [--torch PYTHON] [--json FILE]

A machine that others use as well is slow for seconds and for minutes, which must not hit one case alone: the two of a
pair are there at once and take turns, an epoch each, while the other waits. They are compared turn by turn; shown are
medians over the turns of ROUNDS rounds of fresh processes, the first epoch of each (tracing) left out. All train on the
60,000 examples without validation.

Two processes apart train on half of the examples each, at the same time. Two workers of one strategy can hardly be
faster: who of those is done first leaves the machine to the other, and the mean of both counts.

PyTorch is no dependency of this project: ``--torch`` names the Python of an environment that has it, if this has not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.asking import asked
from benchmarks.train_cases import EPOCHS, Case
from nn_train.engine.addresses import free_addresses, tf_config

ROUNDS = 3
ROOT = Path(__file__).parents[1]
TUTORIAL = Case("mlp, tutorial's model.fit", "fit", "mlp", 1, 0, 128)
MLP_1 = Case("mlp, 1 worker of 1 thread", "ours", "mlp", 1, 1, 128)
MLP_2 = Case("mlp, 2 workers of 1 thread", "ours", "mlp", 2, 1, 128)
LEGACY = Case("mlp, tf_keras model.fit on 2 workers", "legacy", "mlp", 2, 1, 128)
DDP = Case("mlp, PyTorch DDP, gloo, on 2 processes", "ddp", "mlp", 2, 1, 128)
CNN_1 = Case("cnn, 1 worker of 1 thread, batch 512", "ours", "cnn", 1, 1, 512)
CNN_2 = Case("cnn, 2 workers of 1 thread, batch 512", "ours", "cnn", 2, 1, 512)
APART = Case("cnn, 2 processes apart, batch 256 each", "apart", "cnn", 2, 1, 512)


@dataclass(frozen=True)
class Pair:
    """A case, the one it is compared with, and how many times as fast as that it must be at least."""

    case: Case
    than: Case
    at_least: float


PAIRS = (
    Pair(MLP_1, TUTORIAL, 2.0),
    Pair(MLP_2, LEGACY, 6.0),
    Pair(MLP_2, DDP, 0.6),
    Pair(CNN_2, CNN_1, 1.75),
    Pair(CNN_2, APART, 0.95),
)
Turns = list[tuple[float, float]]  # of a pair, one round after the other: the seconds of both


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = "only pairs with such a text in one of their names"
    parser.add_argument("--cases", nargs="+", default=[""], metavar="TEXT", help=names)
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON", help="a Python that has PyTorch")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    turns: dict[Pair, Turns] = {pair: [] for pair in chosen(arguments.cases, arguments.torch)}
    for number in range(1, ROUNDS + 1):
        for pair, measured in turns.items():
            measured += turns_of(pair, arguments.torch)
            ours, other = (f"{name} {value:.2f} s" for name, value in seconds({pair: measured[1 - EPOCHS :]}).items())
            print(f"round {number} of {ROUNDS}  {ours}; {other}", flush=True)
    print()
    for name, value in seconds(turns).items():
        print(f"{name:40} {value:8.2f} s an epoch")
    rows = [compared(pair, measured) for pair, measured in turns.items()]
    print()
    for row in rows:
        verdict = "reached" if row["times"] >= row["target"] else "MISSED"
        found = f"{row['times']:.2f} times as fast as {row['than']}"
        rounds = ", ".join(f"{times:.2f}" for times in row["rounds"])
        print(f"{row['case']}: {found} (rounds {rounds}); at least {row['target']}: {verdict}")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        content = {"machine": machine, "seconds": seconds(turns), "targets": rows}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    return 0 if all(row["times"] >= row["target"] for row in rows) else 1


def chosen(texts: Sequence[str], torch: str) -> list[Pair]:
    """Pairs with one of the texts in their names, without PyTorch's where ``torch`` has none, which is said."""
    found = [pair for pair in PAIRS if any(text in case.name for text in texts for case in (pair.case, pair.than))]
    if not found:
        names = "; ".join(dict.fromkeys(case.name for pair in PAIRS for case in (pair.case, pair.than)))
        raise SystemExit(f"--cases: no name holds {' or '.join(texts)}; there are {names}")
    missing = [pair for pair in found if pair.than.engine == "ddp" and not has_torch(torch)]
    for pair in missing:
        print(f"{pair.than.name}: left out, {torch} has no PyTorch; --torch PYTHON names one that has")
    return [pair for pair in found if pair not in missing]


def has_torch(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode == 0
    except OSError:  # there is no such program
        return False


def turns_of(pair: Pair, torch: str) -> Turns:
    """One round, in fresh processes: the seconds of both, turn by turn, without the first turn."""
    with contextlib.ExitStack() as stack:
        asks = []
        for case in (pair.case, pair.than):
            addresses = free_addresses("127.0.0.1", case.workers)
            commands = [process_of(case, rank, addresses, torch) for rank in range(case.workers)]
            asks.append(stack.enter_context(asked(case.name, commands)))
            asks[-1]("")  # one after the other, since a start takes the whole machine
        turns = []
        for turn in range(EPOCHS - 1):
            order = (0, 1) if turn % 2 else (1, 0)  # what gets slower all the time hits neither more than the other
            taken = {place: statistics.mean(spent for (spent,) in asks[place]("")) for place in order}
            turns.append((taken[0], taken[1]))
        return turns


def seconds(turns: Mapping[Pair, Turns]) -> dict[str, float]:
    """By the name of a case, the median over all its epochs."""
    found: dict[str, list[float]] = {}
    for pair, measured in turns.items():
        for case, taken in zip((pair.case, pair.than), zip(*measured, strict=True), strict=True):
            found.setdefault(case.name, []).extend(taken)
    return {name: statistics.median(taken) for name, taken in found.items()}


def compared(pair: Pair, turns: Turns) -> dict[str, Any]:
    """How many times as fast, over all turns and by rounds."""
    times = [than / ours for ours, than in turns]
    rounds = [statistics.median(times[at : at + EPOCHS - 1]) for at in range(0, len(times), EPOCHS - 1)]
    row = {"case": pair.case.name, "than": pair.than.name, "times": statistics.median(times)}
    return {**row, "rounds": rounds, "target": pair.at_least}


def process_of(case: Case, rank: int, addresses: list[str], torch: str) -> tuple[list[str], dict[str, str]]:
    """The command of one of a case's processes, and what it needs in its environment."""
    if case.engine == "ddp":
        script, data = ROOT / "benchmarks/scripts/ddp_mlp.py", ROOT / "nn_train/datasets/data/mnist.npz"
        host, port = addresses[0].split(":")
        places = {"RANK": str(rank), "WORLD_SIZE": str(case.workers), "MASTER_ADDR": host, "MASTER_PORT": port}
        command = [torch, str(script), str(data), str(case.batch_size), str(EPOCHS)]
        return command, {**places, "GLOO_SOCKET_IFNAME": "lo"}
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if case.engine == "apart":
        environment["TF_CONFIG"] = tf_config([addresses[rank]], 0)
    elif case.engine != "fit":
        environment["TF_CONFIG"] = tf_config(addresses, rank)
    if case.engine == "legacy":
        environment["TF_USE_LEGACY_KERAS"] = "1"
    if case.engine in ("ours", "apart"):
        environment["TF_ENABLE_ONEDNN_OPTS"] = "1"  # as the workers of jobs.train set it
    return [sys.executable, "-m", "benchmarks.train_cases", json.dumps(asdict(case)), str(rank)], environment


if __name__ == "__main__":
    sys.exit(main())
