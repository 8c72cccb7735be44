"""Seconds an epoch of MNIST, against what a user would write instead, in one run.

    python -m benchmarks.train_speed [--cases TEXT …] [--torch PYTHON] [--json FILE]

All cases take turns, ROUNDS times, each time in fresh processes: a machine that others use as well is slow
for minutes, which must not hit one case alone. Shown is the median over the epochs of all rounds, the first
of each round (tracing) left out. All cases train on the 60,000 examples without validation.

Two processes apart train on half of the examples each, at the same time: of both, the epochs count in which both
trained. Two workers of one strategy can hardly be faster.

PyTorch is no dependency of this project: ``--torch`` names the Python of an environment that has it, if this has not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.train_cases import Case, Span
from nn_train.engine.addresses import free_addresses, tf_config

ROUNDS = 3
ROOT = Path(__file__).parents[1]
CASES = (
    Case("mlp, tutorial's model.fit", "fit", "mlp", 1, 0, 128, 5),
    Case("mlp, 1 worker of 1 thread", "ours", "mlp", 1, 1, 128, 5),
    Case("mlp, 2 workers of 1 thread", "ours", "mlp", 2, 1, 128, 5),
    Case("mlp, tf_keras model.fit on 2 workers", "legacy", "mlp", 2, 1, 128, 3),
    Case("mlp, PyTorch DDP, gloo, on 2 processes", "ddp", "mlp", 2, 1, 128, 5),
    Case("cnn, 1 worker of 1 thread, batch 512", "ours", "cnn", 1, 1, 512, 4),
    Case("cnn, 2 workers of 1 thread, batch 512", "ours", "cnn", 2, 1, 512, 4),
    Case("cnn, 2 processes apart, batch 256 each", "apart", "cnn", 2, 1, 512, 5),
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
    rounds: dict[Case, list[list[float]]] = {case: [] for case in cases}  # the epochs after the first
    for turn in range(1, ROUNDS + 1):
        for case in cases:
            rounds[case].append(measure(case, arguments.torch))
            value = statistics.median(rounds[case][-1])
            print(f"round {turn} of {ROUNDS}  {case.name:40} {value:8.2f} s", flush=True)
    seconds = {case: statistics.median(epoch for one in rounds[case] for epoch in one) for case in cases}
    print()
    for case, value in seconds.items():
        print(f"{case.name:40} {value:8.2f} s an epoch")
    rows = compared(seconds)
    print()
    for row in rows:
        verdict = "reached" if row["times"] >= row["target"] else "MISSED"
        print(f"{row['case']}: {row['times']:.2f} times as fast as {row['than']}; at least {row['target']}: {verdict}")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        measured = [{"case": case.name, "seconds": seconds[case], "rounds": rounds[case]} for case in cases]
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


def compared(seconds: dict[Case, float]) -> list[dict[str, Any]]:
    """The rows of TARGETS of which both cases were measured."""
    return [
        {"case": case.name, "than": than.name, "times": seconds[than] / seconds[case], "target": target}
        for case, than, target in ((CASES[one], CASES[other], target) for one, other, target in TARGETS)
        if case in seconds and than in seconds
    ]


def measure(case: Case, torch: str) -> list[float]:
    """Run the case's processes once; the seconds of the epochs after the first."""
    addresses = free_addresses("127.0.0.1", case.workers)
    processes = []
    for rank in range(case.workers):
        command, environment = process_of(case, rank, addresses, torch)
        pipe = subprocess.PIPE
        environment = {**os.environ, **environment}
        processes.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
    outputs = [process.communicate(timeout=900) for process in processes]
    for process, (_, errors) in zip(processes, outputs, strict=True):
        if process.returncode:
            raise SystemExit(f"{case.name} failed:\n{errors[-2000:]}")
    spans: list[list[Span]] = [json.loads(output.strip().splitlines()[-1]) for output, _ in outputs]
    return seconds_together(spans) if case.engine == "apart" else [end - begin for begin, end in spans[0][1:]]


def process_of(case: Case, rank: int, addresses: list[str], torch: str) -> tuple[list[str], dict[str, str]]:
    """The command of one of a case's processes, and what it needs in its environment."""
    if case.engine == "ddp":
        script, data = ROOT / "benchmarks/scripts/ddp_mlp.py", ROOT / "nn_train/datasets/data/mnist.npz"
        host, port = addresses[0].split(":")
        places = {"RANK": str(rank), "WORLD_SIZE": str(case.workers), "MASTER_ADDR": host, "MASTER_PORT": port}
        command = [torch, str(script), str(data), str(case.batch_size), str(case.epochs)]
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


def seconds_together(spans: list[list[Span]]) -> list[float]:
    """Of the epochs of all processes but each one's first, those in which all of them trained."""
    first, last = max(own[0][0] for own in spans), min(own[-1][1] for own in spans)
    return [end - begin for own in spans for begin, end in own[1:] if first <= begin and end <= last]


if __name__ == "__main__":
    sys.exit(main())
