"""Kills a search with all its processes several times, and looks whether it lost or repeated a trial.

    python -m benchmarks.killed_search [--trials 1000] [--kills 5] [--seed 0] [--json FILE]

A search of a small model and data of one's own, one epoch a trial, is run by ``python -m jobs.tune`` undisturbed, and
once more, in which the job and its Ray end with SIGKILL when the journal holds a random number of trials, and the same
command is given again. In the end there must be every trial, once; those that had ended before a kill must be as they
were, and each must have the values that it has in the undisturbed search, to the bit.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.chaos import TIMES, descendants
from nn_train.config.wording import counted

Record = dict[str, Any]  # a line of the journal
EXAMPLES, FEATURES, CLASSES = 512, 8, 3
OWN = "benchmarks.killed_search:"
SEARCH = ["jobs.tune", "--model.name", f"{OWN}build", "--data.source", f"{OWN}load", "--train.epochs", "1"]
SEARCH += ["--train.batch_size", "64", "--scaling.num_workers", "1", "--search.scheduler", "none"]
SEARCH += ["--search.space", "{optimizer.learning_rate: {loguniform: [1.0e-4, 1.0e-1]}}", "--search.keep_best", "1"]
LOOK_EVERY = 0.02  # seconds between two looks at the journal


def build(input_shape: tuple[int, ...], num_classes: int) -> Any:
    """The search's model."""
    import keras

    stack = [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(num_classes, name="logits")]
    return keras.Sequential([keras.Input(input_shape), *stack])


def load() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Its data: float32 [512, 8] and labels that depend on them, for training and test."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(2 * EXAMPLES, FEATURES)).astype("float32")
    y = np.argmax(x[:, :CLASSES], axis=1)
    return (x[:EXAMPLES], y[:EXAMPLES]), (x[EXAMPLES:], y[EXAMPLES:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    moments = sorted(random.Random(arguments.seed).sample(range(1, arguments.trials), arguments.kills))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        whole, _, seconds = run(Path(folder) / "whole", arguments.trials, [])
        print(f"undisturbed: {len(whole)} trials in {seconds:.1f} s", flush=True)
        job = Path(folder) / "killed"
        found, sessions, seconds = run(job, arguments.trials, moments)
        with open(job / "search/trials.csv", newline="") as file:
            table = list(csv.DictReader(file))
    at_kills = [known for known, _ in sessions]
    faults = faults_of(arguments.trials, found, at_kills, table, whole)
    for known, took in sessions:
        print(f"killed after {took:6.1f} s with {len(known):5} trials in the journal")
    counts = f"{counted(len(found), 'trial')}, {counted(len(sessions), 'kill')}, {counted(len(faults), 'fault')}"
    print(f"{counts} in {seconds:.1f} s")
    for fault in faults[:20]:
        print(fault)
    if arguments.json:
        content = {"trials": len(found), "kills": [len(known) for known in at_kills], "seconds": seconds}
        arguments.json.write_text(json.dumps({**content, "faults": faults}, indent=2) + "\n")
    return 1 if faults or len(sessions) != arguments.kills else 0


def run(
    folder: Path, trials: int, moments: Sequence[int]
) -> tuple[list[Record], list[tuple[list[Record], float]], float]:
    """The journal of a search that is killed at each of ``moments`` (numbers of trials that have ended).

    Returns the journal at the end; the journal and the seconds of each session that was killed; all seconds.
    """
    command = [sys.executable, "-m", *SEARCH, "--search.num_trials", str(trials)]
    command += ["--run.storage_path", str(folder), "--name", "search"]
    began, sessions = time.monotonic(), []
    for moment in [*moments, None]:
        started = time.monotonic()
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
            while process.poll() is None and (moment is None or lines_in(folder) < moment):
                time.sleep(LOOK_EVERY)
            if moment is None and process.returncode:
                said.seek(0)
                raise SystemExit(f"the search failed:\n{said.read()[-3000:]}")
        if process.returncode is None:
            kill_all(process)
            sessions.append((journal(folder), time.monotonic() - started))
    return journal(folder), sessions, time.monotonic() - began


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """End a job and its Ray at once."""
    for pid in (process.pid, *descendants(process.pid)):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended just now
    process.wait()


def lines_in(folder: Path) -> int:
    """How many trials have ended."""
    return sum(path.read_bytes().count(b"\n") for path in (folder / "search/journal").glob("*.jsonl"))


def journal(folder: Path) -> list[Record]:
    """The records of the trials that have ended, as they are on disk."""
    files = sorted((folder / "search/journal").glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def faults_of(
    trials: int,
    found: Sequence[Record],
    at_kills: Iterable[Sequence[Record]],
    table: Sequence[dict[str, str]],
    whole: Sequence[Record],
) -> list[str]:
    """What is wrong with a search that was killed, a line each.

    Args:
        trials: how many there must be.
        found: its journal at the end.
        at_kills: its journal at each kill.
        table: its trials.csv.
        whole: the journal of the search that was not killed.
    """
    expected = {f"t{number:05d}" for number in range(trials)}
    faults = []
    for place, names in (
        ("the journal", [one["trial"] for one in found]),
        ("trials.csv", [row["trial_id"] for row in table]),
    ):
        counts = Counter(names)
        faults += [f"{name}: not in {place}" for name in sorted(expected - set(counts))]
        faults += [f"{name}: is no trial of the search, but in {place}" for name in sorted(set(counts) - expected)]
        faults += [f"{name}: {count} times in {place}" for name, count in sorted(counts.items()) if count > 1]
    by_name = {one["trial"]: one for one in found}
    for number, known in enumerate(at_kills, start=1):
        changed = sorted(one["trial"] for one in known if by_name.get(one["trial"]) != one)
        faults += [f"{name}: had ended at kill {number}, and is not as it was" for name in changed]
    undisturbed = {one["trial"]: result_of(one) for one in whole}
    for name, one in sorted(by_name.items()):
        if result_of(one) != undisturbed.get(name):
            faults.append(f"{name}: another result than in the undisturbed search")
        if [row["epoch"] for row in one["rows"]] != [1]:
            faults.append(f"{name}: {len(one['rows'])} epochs")
    values = {row["trial_id"]: row["val_loss"] for row in table}
    for name, one in sorted(by_name.items()):
        if name in values and one["rows"] and values[name] != repr(one["rows"][0]["val_loss"]):
            faults.append(f"{name}: another val_loss in trials.csv than in the journal")
    return faults


def result_of(record: Record) -> Record:
    """A record without times."""
    rows = [{name: value for name, value in row.items() if name not in TIMES} for row in record["rows"]]
    return {**{name: record[name] for name in ("trial", "phase", "status", "cause", "draws", "values")}, "rows": rows}


if __name__ == "__main__":
    sys.exit(main())
