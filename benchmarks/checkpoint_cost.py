"""What checkpoints cost: seconds of one, and their share of the time of training.

    python -m benchmarks.checkpoint_cost [--rounds 3] [--json FILE]

The MLP and the CNN train on MNIST with two workers of one thread, without validation and with checkpoints within
epochs as they are by default, every second, and never. The cases take turns, ROUNDS times, each time in fresh
processes; the first epoch of each (tracing) is left out. Two shares are shown. The first, which is judged, is what the
chief spent on checkpoints within epochs, while the others wait, by the time of the epochs. The second compares epochs
with those of the same model without such checkpoints; a machine that others use as well hides 3 % there.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_train.config.schema import TrainConfig
from nn_train.engine.addresses import free_addresses, tf_config
from nn_train.events import EpochEnded, Event

WORKERS = 2
TARGET = 0.03
NEVER = 1e9
BATCH_SIZE = {"mlp": 128, "cnn": 512}
EPOCHS = {"mlp": 12, "cnn": 4}


@dataclass(frozen=True)
class Case:
    """A model, and seconds between the checkpoints within its epochs."""

    model: str
    every: float

    @property
    def name(self) -> str:
        return f"{self.model}, " + ("none within epochs" if self.every == NEVER else f"every {self.every:g} s")


CASES = [Case(model, every) for model in EPOCHS for every in (NEVER, TrainConfig().checkpoint_every_seconds, 1.0)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of every training; at least 2")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--worker", nargs=3, metavar=("CASE", "RANK", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        number, rank, folder = arguments.worker
        print(json.dumps(train_here(CASES[int(number)], int(rank), folder, arguments.epochs)))
        return 0
    measured: list[list[dict[str, Any]]] = [[] for _ in CASES]
    for turn in range(1, arguments.rounds + 1):
        for number, case in enumerate(CASES):
            measured[number] += measure(number, arguments.epochs)
            print(f"round {turn} of {arguments.rounds}  {case.name}", file=sys.stderr, flush=True)
    rows = [summary(case, epochs, measured) for case, epochs in zip(CASES, measured, strict=True)]
    print_table(rows)
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        content = {"machine": machine, "target": TARGET, "cases": rows, "epochs": measured}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    return 0 if all(row["share"] <= TARGET for row in rows) else 1


def measure(number: int, epochs: int | None) -> list[dict[str, Any]]:
    """One training of a case: its epochs after the first, as the chief saw them."""
    addresses, processes = free_addresses("127.0.0.1", WORKERS), []
    with tempfile.TemporaryDirectory() as folder:
        for rank in range(WORKERS):
            environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG": tf_config(addresses, rank)}
            command = [sys.executable, "-m", "benchmarks.checkpoint_cost", "--worker", str(number), str(rank), folder]
            command += ["--epochs", str(epochs)] if epochs else []
            pipe = subprocess.PIPE
            processes.append(subprocess.Popen(command, env=environment, text=True, stdout=pipe, stderr=pipe))
        outputs = [process.communicate(timeout=900) for process in processes]
    for process, (_, errors) in zip(processes, outputs, strict=True):
        if process.returncode:
            raise SystemExit(f"{CASES[number].name} failed:\n{errors[-2000:]}")
    found: list[dict[str, Any]] = json.loads(outputs[0][0].strip().splitlines()[-1])
    return found[1:]


def train_here(case: Case, rank: int, folder: str, epochs: int | None) -> list[dict[str, Any]]:
    """Train as worker ``rank``; of each epoch its seconds, and those of its checkpoints, within and at the end."""
    from nn_train.config import config_from_dict
    from nn_train.runs import chunk_hooks, worker
    from nn_train.storage.folder import ResultsFolder

    within: list[float] = []
    at_end: list[float] = []
    rows: list[dict[str, Any]] = []
    pause, keep_state = chunk_hooks.TimedHooks.pause, worker.Run.keep_state

    def timed_pause(self: Any, gather: Any, step: int, loss_sum: float) -> None:
        began, saved = time.perf_counter(), self.saved
        pause(self, gather, step, loss_sum)
        if self.saved != saved:
            within.append(time.perf_counter() - began)

    def timed_keep_state(self: Any) -> None:
        began = time.perf_counter()
        keep_state(self)
        at_end.append(time.perf_counter() - began)

    def report(event: Event) -> None:
        if isinstance(event, EpochEnded):
            rows.append({"seconds": event.row["seconds"], "within": [*within], "at_end": sum(at_end)})
            within.clear()
            at_end.clear()

    setattr(chunk_hooks.TimedHooks, "pause", timed_pause)  # noqa: B010 - a plain assignment is no method to mypy
    setattr(worker.Run, "keep_state", timed_keep_state)  # noqa: B010
    training = {"epochs": epochs or EPOCHS[case.model], "batch_size": BATCH_SIZE[case.model]}
    sections = {
        "model": {"name": case.model},
        "data": {"validation_fraction": 0},
        "train": {**training, "checkpoint_every_seconds": case.every},
        "scaling": {"num_workers": WORKERS},
        "run": {"storage_path": folder, "loggers": []},
    }
    job = worker.Job(config_from_dict({"name": "run", **sections}), ResultsFolder(folder, "run"), (), time.time())
    worker.run_worker([job], rank, WORKERS, worker.WorkerContext(report=report))
    return rows


def summary(case: Case, epochs: list[dict[str, Any]], measured: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """A row of the table. Shares are of the time of the epochs."""
    seconds = statistics.median(epoch["seconds"] for epoch in epochs)
    without = measured[CASES.index(Case(case.model, NEVER))]
    within = [one for epoch in epochs for one in epoch["within"]]
    whole = sum(epoch["seconds"] for epoch in epochs)
    return {
        "case": case.name,
        "seconds_per_epoch": seconds,
        "checkpoints_per_epoch": len(within) / len(epochs),
        "seconds_per_checkpoint": statistics.median(within) if within else None,
        "share": sum(within) / whole,
        "share_by_comparison": seconds / statistics.median(epoch["seconds"] for epoch in without) - 1,
        "share_at_end_of_epochs": sum(epoch["at_end"] for epoch in epochs) / whole,
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    print(f"{'':26}   s an epoch  checkpoints   s each   share  by comparison  at ends of epochs")
    for row in rows:
        each = row["seconds_per_checkpoint"]
        print(
            f"{row['case']:26} {row['seconds_per_epoch']:12.2f} {row['checkpoints_per_epoch']:12.2f} "
            f"{'' if each is None else format(each, '.3f'):>8} {row['share']:7.1%} {row['share_by_comparison']:14.1%} "
            f"{row['share_at_end_of_epochs']:18.1%}"
        )
    worst = max(rows, key=lambda row: row["share"])
    verdict = "reached" if worst["share"] <= TARGET else "MISSED"
    print(f"\nat most {TARGET:.0%} of the time within epochs: {verdict} ({worst['share']:.1%}: {worst['case']})")


if __name__ == "__main__":
    sys.exit(main())
