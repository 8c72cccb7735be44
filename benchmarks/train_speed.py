"""Seconds an epoch of MNIST, against what a user would write instead, in one run.

    python -m benchmarks.train_speed [--cases TEXT …] [--torch PYTHON] [--json FILE]

A machine that others use as well is slow for seconds and for minutes, which must not hit one case alone: all cases are
there at once and take turns, an epoch each, while the others wait. Two are compared turn by turn; shown is the median
over the turns of ROUNDS rounds of fresh processes, the first epoch of each (tracing) left out. All train on the 60,000
examples without validation.

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.asking import asked
from benchmarks.train_cases import EPOCHS, Case
from nn_train.engine.addresses import free_addresses, tf_config

ROUNDS = 3
ROOT = Path(__file__).parents[1]
CASES = (
    Case("mlp, tutorial's model.fit", "fit", "mlp", 1, 0, 128),
    Case("mlp, 1 worker of 1 thread", "ours", "mlp", 1, 1, 128),
    Case("mlp, 2 workers of 1 thread", "ours", "mlp", 2, 1, 128),
    Case("mlp, tf_keras model.fit on 2 workers", "legacy", "mlp", 2, 1, 128),
    Case("mlp, PyTorch DDP, gloo, on 2 processes", "ddp", "mlp", 2, 1, 128),
    Case("cnn, 1 worker of 1 thread, batch 512", "ours", "cnn", 1, 1, 512),
    Case("cnn, 2 workers of 1 thread, batch 512", "ours", "cnn", 2, 1, 512),
    Case("cnn, 2 processes apart, batch 256 each", "apart", "cnn", 2, 1, 512),
)
# Case, the case it is compared with, and how many times as fast as that it must be at least.
TARGETS = ((1, 0, 2.0), (2, 3, 6.0), (2, 4, 0.6), (6, 5, 1.75), (6, 7, 0.95))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", nargs="+", default=[""], metavar="TEXT", help="only those with such a text in a name"
    )
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON", help="a Python that has PyTorch")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    cases = chosen(arguments.cases, arguments.torch)
    print("seconds an epoch: " + "; ".join(case.name for case in cases), flush=True)
    seconds: dict[Case, list[float]] = {case: [] for case in cases}  # of all turns, one round after the other
    for number in range(1, ROUNDS + 1):
        for turn, times in enumerate(turns_of(cases, arguments.torch), 1):
            for case in cases:
                seconds[case].append(times[case])
            shown = "".join(f"{times[case]:8.2f}" for case in cases)
            print(f"round {number} of {ROUNDS}, turn {turn} of {EPOCHS - 1}:{shown}", flush=True)
    print()
    for case in cases:
        print(f"{case.name:40} {statistics.median(seconds[case]):8.2f} s an epoch")
    rows = compared(seconds)
    print()
    for row in rows:
        verdict = "reached" if row["times"] >= row["target"] else "MISSED"
        rounds = ", ".join(f"{times:.2f}" for times in row["rounds"])
        found = f"{row['times']:.2f} times as fast as {row['than']} (rounds {rounds})"
        print(f"{row['case']}: {found}; at least {row['target']}: {verdict}")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        measured = [{"case": case.name, "seconds": seconds[case]} for case in cases]
        arguments.json.write_text(json.dumps({"machine": machine, "cases": measured, "targets": rows}, indent=2) + "\n")
    return 0 if all(row["times"] >= row["target"] for row in rows) else 1


def chosen(texts: Sequence[str], torch: str) -> list[Case]:
    """The cases with one of the texts in their names, without PyTorch's where ``torch`` has none, which is said."""
    found = [case for case in CASES if any(text in case.name for text in texts)]
    if not found:
        raise SystemExit(f"--cases: no name holds {' or '.join(texts)}; there are {'; '.join(c.name for c in CASES)}")
    missing = [case for case in found if case.engine == "ddp" and not has_torch(torch)]
    for case in missing:
        print(f"{case.name}: left out, {torch} has no PyTorch; --torch PYTHON names one that has")
    return [case for case in found if case not in missing]


def has_torch(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode == 0
    except OSError:  # there is no such program
        return False


def turns_of(cases: Sequence[Case], torch: str) -> Iterator[dict[Case, float]]:
    """One round, in fresh processes: the seconds of an epoch of each case, turn by turn, without the first turn."""
    with contextlib.ExitStack() as stack:
        asks = {}
        for case in cases:
            addresses = free_addresses("127.0.0.1", case.workers)
            commands = [process_of(case, rank, addresses, torch) for rank in range(case.workers)]
            asks[case] = stack.enter_context(asked(case.name, commands))
            asks[case]("")  # one after the other, since a start takes the whole machine
        for turn in range(EPOCHS - 1):
            order = cases if turn % 2 else cases[::-1]  # what gets slower all the time hits none more than the others
            yield {case: statistics.mean(seconds for (seconds,) in asks[case]("")) for case in order}


def compared(seconds: Mapping[Case, Sequence[float]]) -> list[dict[str, Any]]:
    """The rows of TARGETS of which both cases were measured: how many times as fast, over all turns and by rounds."""
    rows = []
    for case, than, target in ((CASES[one], CASES[other], target) for one, other, target in TARGETS):
        if case in seconds and than in seconds:
            times = [slow / fast for fast, slow in zip(seconds[case], seconds[than], strict=True)]
            length = EPOCHS - 1
            rounds = [statistics.median(times[at : at + length]) for at in range(0, len(times), length)]
            row = {"case": case.name, "than": than.name, "times": statistics.median(times)}
            rows.append({**row, "rounds": rounds, "target": target})
    return rows


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
