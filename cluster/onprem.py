"""Ray on machines over SSH: `ray up` and `ray down` for a file such as cluster/onprem.yaml, and what they leave undone:

    python -m cluster.onprem up FILE       # and wait until every machine of the file joined
    python -m cluster.onprem status FILE
    python -m cluster.onprem down FILE     # end Ray on every machine, also where `ray down` leaves it

Runs at the top of the repository, on a machine that reaches all others over SSH. `down` ends every Ray of the account
on these machines.

Exit codes: 0 done; 1 it failed, or (status) a machine is missing; 2 the request is wrong; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cluster.local_nodes import RAY, make_token
from cluster.onprem_machines import LOGS, Machines, read_machines
from nn_train.config.cli import exit_code
from nn_train.errors import EXIT_DONE, EXIT_FAILED, RequestError, TrainingError

JOIN_WITHIN = 900.0  # seconds; the workers install all packages first
LOOK_EVERY = 3.0  # seconds


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, meaning in (("up", "start Ray on all machines"), ("down", "end it"), ("status", "say which joined")):
        command = commands.add_parser(name, help=meaning)
        command.add_argument("file", type=Path, help="the cluster file")
        if name == "up":
            command.add_argument(
                "--within", type=seconds, default=JOIN_WITHIN, help="seconds for the workers to join; default 900"
            )
    arguments = parser.parse_args(argv)
    machines = read_machines(arguments.file)
    if arguments.command == "up":
        return up(arguments.file, machines, arguments.within)
    return {"down": down, "status": status}[arguments.command](arguments.file, machines)


def seconds(text: str) -> float:
    """A whole number of seconds, at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds")
    return float(text)


def up(file: Path, machines: Machines, within: float) -> int:
    """Start Ray on all machines and wait until they joined.

    Raises:
        RequestError: a Ray runs on the head.
        TrainingError: a machine cannot be reached or used, then nothing was started; or `ray up` failed.
        KeyboardInterrupt: what was started goes on.
    """
    if unfit := machines.unfit():
        raise TrainingError(f"nothing was started; {listed(unfit)}\nmend it, or take the machine out of {file}")
    if joined := machines.joined():
        raise RequestError(
            f"{file}: {len(joined)} machines are up already; use them, or end them first with: "
            f"python -m cluster.onprem down {file}"
        )
    environment = ray_environment()
    make_token(environment)
    try:
        print(f"{machines.head}: installing and starting Ray; minutes at the first time", flush=True)
        run_ray("up", file, environment)
        return wait_for_all(file, machines, within)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"End what was started with: python -m cluster.onprem down {file}") from None


def wait_for_all(file: Path, machines: Machines, within: float) -> int:
    """Tell of every machine that joins; 1 when some do not within so many seconds."""
    give_up = time.monotonic() + within
    told: set[str] = set()
    while True:
        joined = machines.joined()
        for address in sorted(joined - told):
            print(f"{address}: joined ({len(joined)} of {len(machines.addresses)})", flush=True)
        told |= joined
        missing = [address for address in machines.addresses if address not in joined]
        if not missing:
            print(
                f"all {len(joined)} machines are up\n\n"
                f"  ray dashboard {file}   # a tunnel to the head; leave it open\n"
                "  RAY_AUTH_MODE=token ray job submit --address http://localhost:8265 --working-dir . -- "
                "python -m jobs.train --run.storage_path /shared/results\n"
                f"  python -m cluster.onprem down {file}"
            )
            return EXIT_DONE
        if time.monotonic() > give_up:
            for address in missing:
                print(f"error: {address} did not join within {within:g} s", file=sys.stderr)
            print(f"what the head tells of it ({LOGS}/monitor.out there):", file=sys.stderr)
            print(machines.said_by_head().strip() or "nothing yet", file=sys.stderr)
            print(f"the others are up; end them with: python -m cluster.onprem down {file}", file=sys.stderr)
            return EXIT_FAILED
        time.sleep(LOOK_EVERY)


def down(file: Path, machines: Machines) -> int:
    """End Ray on all machines, those that answer even if others do not."""
    unreachable = machines.unreachable()
    if machines.head in unreachable:
        unreachable[machines.head] += "; if it runs, it starts Ray on the workers again"
    else:  # before the workers, for the same reason
        try:
            run_ray("down", file, ray_environment())
        except TrainingError as error:  # each machine is asked below
            print(f"warning: {error}", file=sys.stderr)
    failed = {**unreachable, **machines.stop(set(machines.addresses) - set(unreachable))}
    for address in machines.addresses:
        print(f"{address}: {'NOT ENDED' if address in failed else 'no Ray is left'}")
    if failed:
        raise TrainingError(listed(failed))
    return EXIT_DONE


def status(file: Path, machines: Machines) -> int:
    """Say which machines joined."""
    unreachable = machines.unreachable()
    joined = set() if machines.head in unreachable else machines.joined()
    for address in machines.addresses:
        state = "joined" if address in joined else unreachable.get(address, "not joined")
        print(f"{address:15} {'head  ' if address == machines.head else 'worker'} {state}")
    if not joined:
        print(f"nothing is up; start with: python -m cluster.onprem up {file}")
    return EXIT_DONE if joined >= set(machines.addresses) else EXIT_FAILED


def run_ray(command: str, file: Path, environment: dict[str, str]) -> None:
    """``ray up`` or ``ray down``; what it prints is kept for the case that it fails."""
    options = ["-y", "--no-config-cache"] if command == "up" else ["-y"]
    with tempfile.NamedTemporaryFile("w+", prefix=f"ray-{command}-", suffix=".log") as log:
        done = subprocess.run(
            [*RAY, command, *options, str(file)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        if done.returncode:
            log.seek(0)
            raise TrainingError(f"ray {command} failed with code {done.returncode}:\n{log.read().strip()[-2000:]}")


def ray_environment() -> dict[str, str]:
    """With the token, and without a cluster that is joined already."""
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    return environment


def listed(reasons: dict[str, str]) -> str:
    """``10.0.0.2: no route to host; 10.0.0.3: …``"""
    return "; ".join(f"{address}: {reason}" for address, reason in reasons.items())


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
