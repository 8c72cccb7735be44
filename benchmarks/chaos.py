"""Kills processes of real jobs at random moments and looks whether their results are those of undisturbed ones.

    python -m benchmarks.chaos [--runs 20] [--seed 0] [--stop] [--json FILE]

Of every four jobs three train (the MLP on MNIST, two workers, eight epochs, checkpoints every second) and one searches
(eight trials of the MLP). In each, one process is ended with SIGKILL, after a random share of the time that an
undisturbed job takes: a worker or a trial, the controller of Ray Train, or the job's own process. Where the job ends
with it, the same command is given again. Compared are, of a training, every line of metrics.jsonl without times and
all variables after the last epoch, bit by bit; of a search, the epochs of every trial. Seconds lost are those beyond
the time of the undisturbed job: where the job's own process is killed, all that comes before its first checkpoint.
"Goes on after" are the seconds from the kill until a training says that it trains again.

With --stop workers and trials are stopped (SIGSTOP) instead: they hang, for which run.hang_timeout is 20 s.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMES = ("seconds", "samples_per_second")
TRAIN = ["jobs.train", "--train.epochs", "8", "--train.batch_size", "128", "--train.checkpoint_every_seconds", "1"]
SEARCH = ["jobs.tune", "--train.epochs", "2", "--train.batch_size", "128", "--scaling.num_workers", "1"]
SEARCH += ["--search.space", "{optimizer.learning_rate: {loguniform: [1.0e-4, 1.0e-2]}}", "--search.num_trials", "8"]
SEARCH += ["--search.scheduler", "none", "--search.keep_best", "0"]
# The processes that may be killed, as the kernel names them; the job's own process is the third kind.
VICTIMS = {
    "worker": ("ray::RayTrainWorker", "ray::TrialRunner", "ray::ResourceTrainable"),
    "controller": ("ray::Controller",),
}
HANG = ["--run.hang_timeout", "20"]
TRIES = 5
BEGINS = ("training ", "continuing ", "beginning again")  # the lines of a training that begins, or goes on
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    Attributes:
        seconds: until it was finished.
        killed: the name of the process; empty for none.
        pause: seconds from the kill until it trained again; None for none, and for searches.
        digest: of its result.
    """

    seconds: float
    killed: str
    pause: float | None
    digest: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and victims")
    parser.add_argument("--stop", action="store_true", help="processes hang instead of dying")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for the reading of checkpoints
    chance = random.Random(arguments.seed)
    options = HANG if arguments.stop else []
    how = signal.SIGSTOP if arguments.stop else signal.SIGKILL
    jobs = {"train": TRAIN + options, "search": SEARCH + options}
    # The second of two: the first one reads Python's and TensorFlow's files from the disk.
    whole = {name: [run(words, None, "", how, 0.0) for _ in range(2)][1] for name, words in jobs.items()}
    for name, outcome in whole.items():
        print(f"undisturbed {name}: {outcome.seconds:.1f} s", flush=True)
    rows: list[dict[str, Any]] = []
    for number in range(1, arguments.runs + 1):
        name = "search" if number % 4 == 0 else "train"
        victim = chance.choice(["worker", "job"] if name == "search" else ["worker", "worker", "controller", "job"])
        victim = "worker" if arguments.stop else victim
        outcome = run(jobs[name], chance, victim, how, whole[name].seconds)
        finished = outcome.digest != UNFINISHED
        same = finished and outcome.digest == whole[name].digest
        beyond = outcome.seconds - whole[name].seconds
        row = {"job": name, "killed": outcome.killed, "finished": finished, "identical": same}
        rows.append({**row, "seconds_lost": round(beyond, 2), "goes_on_after": outcome.pause})
        pause = f"  goes on after {outcome.pause:.1f} s" if outcome.pause is not None else ""
        done = "stopped" if arguments.stop else "killed"
        strike = f"{outcome.killed} {done}" if outcome.killed else f"nothing {done}: it had ended"
        result = "identical" if same else "DIFFERENT"
        print(f"{number:3} {name:6} {strike:40} {result}  {beyond:+.1f} s{pause}", flush=True)
    lost = [row["seconds_lost"] for row in rows if row["killed"]] or [0.0]
    kills = sum(bool(row["killed"]) for row in rows)
    finished, identical = (sum(row[what] for row in rows) for what in ("finished", "identical"))
    pauses = {of: [row["goes_on_after"] for row in rows if is_of(row, of)] for of in ("worker", "other")}
    print(
        f"{len(rows)} runs, {kills} kills, {finished} finished, {identical} bit-identical, "
        f"{statistics.mean(lost):.1f} s lost per kill"
    )
    for of, seconds in pauses.items():
        if seconds:
            done = "stopped" if arguments.stop else "killed"
            strike = (
                f"a worker was {done}" if of == "worker" else "the job or its controller was, and it was given again"
            )
            print(f"after {strike}, it trained again in {statistics.mean(seconds):.1f} s, at most {max(seconds):.1f} s")
    if arguments.json:
        content = {"rows": rows, "seconds_lost_per_kill": statistics.mean(lost), "goes_on_after": pauses}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    return 0 if identical == len(rows) else 1


def is_of(row: dict[str, Any], of: str) -> bool:
    """Whether a pause was seen after a worker (or another process) was killed."""
    return row["goes_on_after"] is not None and row["killed"].startswith("ray::RayTrainWorker") == (of == "worker")


def run(words: list[str], chance: random.Random | None, victim: str, how: signal.Signals, usual: float) -> Outcome:
    """Run a job to its end, sending one process a signal; ``usual``: its seconds when that does not happen."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, tempfile.TemporaryFile("w+") as errors:
        began, killed, killed_at = time.monotonic(), "", 0.0
        lines: list[tuple[float, str]] = []
        command = [sys.executable, "-m", *words, "--run.storage_path", folder, "--name", "job"]
        digest = UNFINISHED
        for _ in range(TRIES):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            # A daemon: what is left of a killed job's Ray holds the pipe open for a while.
            threading.Thread(target=note_lines, args=(process, lines), daemon=True).start()
            if chance is not None and not killed:
                killed = strike_later(process, victim, how, chance.uniform(0.1, 0.95) * usual)
                killed_at = time.monotonic()
            if process.wait() == 0:
                digest = digest_of(Path(folder) / "job")
                break
        else:
            errors.seek(0)
            print(f"{words[0]} did not finish in {TRIES} tries; they said:\n{errors.read()[-2000:]}", file=sys.stderr)
        pause = seconds_until_training(list(lines), killed_at) if killed else None
        return Outcome(time.monotonic() - began, killed, pause, digest)


def note_lines(process: subprocess.Popen[str], lines: list[tuple[float, str]]) -> None:
    """Add what it prints, and when."""
    assert process.stdout is not None
    for line in process.stdout:
        lines.append((time.monotonic(), line))


def seconds_until_training(lines: list[tuple[float, str]], killed_at: float) -> float | None:
    """From the kill to the first line of a training that goes on; None where there is none."""
    started = False
    for when, line in lines:
        started |= when > killed_at and (line.startswith("starting ") or "; restarting (" in line)
        if started and line.startswith(BEGINS):
            return round(when - killed_at, 2)
    return None


def strike_later(process: subprocess.Popen[str], victim: str, how: signal.Signals, seconds: float) -> str:
    """After some seconds, or when there is such a process, send it the signal; its name, empty where the job ended."""
    moment = time.monotonic() + seconds
    while process.poll() is None:
        time.sleep(0.05)
        if time.monotonic() < moment:
            continue
        if victim == "job":
            process.send_signal(how)
            return "the job's own process"
        for pid, name in sorted(descendants(process.pid).items()):
            if name.startswith(VICTIMS[victim]):
                try:
                    os.kill(pid, how)
                except ProcessLookupError:
                    continue  # it ended just now
                return name.partition("(")[0]
    return ""


def descendants(root: int) -> dict[int, str]:
    """The processes below ``root``: id to command line."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended
    found, new = set(), {root}
    while new:
        found |= new
        new = {child for child, parent in parents.items() if parent in new} - found
    names = {}
    for pid in found - {root}:
        try:
            names[pid] = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
        except OSError:
            continue
    return names


def digest_of(folder: Path) -> str:
    """Of everything that must not differ, times left out."""
    from nn_train.runs.checkpoints import unpack

    digest = hashlib.sha256()
    if (folder / "trials.csv").exists():
        with open(folder / "trials.csv", newline="") as file:
            for row in sorted(csv.DictReader(file), key=lambda one: one["trial_id"]):
                digest.update(repr([(key, value) for key, value in row.items() if key not in TIMES]).encode())
        return digest.hexdigest()
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        digest.update(repr([(key, value) for key, value in json.loads(line).items() if key not in TIMES]).encode())
    newest = max((folder / "checkpoints").glob("*.ckpt"))
    state = unpack(newest.read_bytes())
    assert state is not None, f"{newest} is damaged"
    for array in state.variables:
        digest.update(array.tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
