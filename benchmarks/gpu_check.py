"""Checks the whole GPU path on this machine, with one GPU or more, in at most eight minutes.

    python -m benchmarks.gpu_check [--json FILE]

Real jobs, one after another: the MLP and the CNN on MNIST in float32 and bfloat16 and with XLA, two workers (with two
cards by NCCL, and on halves of one without), an evaluation against the CPU's, a job that is killed and goes on, and a
search whose trials share a card. A row each: what was measured, or why not. Please send all that is printed, or the
file of ``--json``, which holds the last lines of what failed in the place of the screen.

Exit codes: 0 all that could be asked is ok; 1 something is not, or there was no time for it; 2 no GPU; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.bench import Bench, Plan
from benchmarks.gpu.checks import checks
from benchmarks.gpu.machine import look, why_no_gpu
from benchmarks.gpu.rows import Deadline, Row, exit_code, rows_of

PLANS = {  # eight minutes, less what the last job needs to end
    "gpu": Plan(gpu=True, examples=None, epochs=3, floors={"mnist_mlp": 0.96, "mnist_cnn": 0.98}, seconds=465.0),
    "cpu": Plan(gpu=False, examples=2000, epochs=3, floors={"mnist_mlp": 0.7, "mnist_cnn": 0.7}, seconds=1200.0),
}
NO_GPU, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows, and more of the machine, here")
    parser.add_argument("--device", choices=sorted(PLANS), default="gpu", help="cpu: for the tests of these checks")
    arguments = parser.parse_args(argv)
    plan = PLANS[arguments.device]
    deadline = Deadline(plan.seconds)
    try:
        machine = look()
    except RuntimeError as error:
        print(f"error: TensorFlow cannot be asked for GPUs: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    missing = why_no_gpu(machine) if plan.gpu else None
    if missing:
        print(missing, file=sys.stderr)
        return NO_GPU
    rows: list[Row] = []
    try:  # before the eight minutes, to see that it can be written
        write(arguments.json, content(arguments.device, machine, rows, interrupted=True))
    except OSError as error:
        parser.error(f"--json: {error}")
    interrupted = run(plan, machine, deadline, rows)
    print(summary(rows, interrupted))
    if not arguments.json:
        print(last_lines(rows), end="")
    write(arguments.json, content(arguments.device, machine, rows, interrupted))
    return INTERRUPTED if interrupted else exit_code(rows)


def run(plan: Plan, machine: dict[str, Any], deadline: Deadline, rows: list[Row]) -> bool:
    """Do the checks, and print and add a row when one has ended. Returns whether somebody interrupted that."""
    with tempfile.TemporaryDirectory(prefix="gpu_check_", ignore_cleanup_errors=True) as folder:
        bench = Bench(plan, len(machine["gpus"]), Path(folder), deadline)
        try:
            for row in rows_of(checks(bench, machine), deadline):
                rows.append(row)
                print(row.line(), flush=True)
        except KeyboardInterrupt:
            return True
    return False


def summary(rows: Sequence[Row], interrupted: bool) -> str:
    """The last line: how many rows of each outcome."""
    counts = Counter(row.outcome for row in rows)
    told = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
    seconds = sum(row.seconds for row in rows)
    return f"{'interrupted; ' if interrupted else ''}{len(rows)} checks in {seconds:.0f} s: {told or 'none ended'}"


def last_lines(rows: Sequence[Row]) -> str:
    """What the jobs of checks that did not end well have said last."""
    texts = [f"\n{row.name}:\n" + "".join(f"  {line}\n" for line in row.output) for row in rows if row.output]
    return "".join(texts)


def content(device: str, machine: dict[str, Any], rows: Sequence[Row], interrupted: bool) -> dict[str, Any]:
    """Of the JSON."""
    whole = not interrupted and exit_code(rows) == 0
    return {"schema": 1, "device": device, "ok": whole, "machine": machine, "rows": [asdict(row) for row in rows]}


def write(path: Path | None, found: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    for one in (signal.SIGINT, signal.SIGTERM):  # as Ctrl-C, also where a shell's & lets that be ignored
        signal.signal(one, signal.default_int_handler)
    sys.exit(main())
