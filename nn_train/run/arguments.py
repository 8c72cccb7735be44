"""The command line of ``nn-train run``: options, then a script or ``-m MODULE``, then what belongs to the script."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass

from nn_train.config.cli import command_of
from nn_train.errors import RequestError

ABOUT = """Run a Keras script as it is on several workers of this machine: its model.fit, evaluate and predict are
distributed, batch_size is that of all workers (docs/run.md). All words behind the script are the script's."""
OF_CLUSTER = ("restarts", "cpus_per_worker", "use_gpu")


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        script: as Python takes it: ``train.py``, or ``-m`` and a module, then the words of the script.
        workers: how many.
        all_output: whether to show the lines of all workers.
        check: whether to compare one step with one worker's, and no more.
        address: of a Ray cluster; None: this machine, without Ray.
        restarts: how often lost workers of a cluster are replaced.
        cpus_per_worker: of a cluster.
        use_gpu: whether each of a cluster's workers takes one.
    """

    script: list[str]
    workers: int = 2
    all_output: bool = False
    check: bool = False
    address: str | None = None
    restarts: int = 0
    cpus_per_worker: float = 1.0
    use_gpu: bool = False


def read_arguments(argv: Sequence[str]) -> Asked:
    """Return what a command line asks for. Raises RequestError."""
    usage = f"{command_of('run')} [OPTION ...] (SCRIPT.py | -m MODULE) [WORD ...]"
    parser = argparse.ArgumentParser(usage=usage, description=ABOUT, allow_abbrev=False)
    parser.add_argument("--workers", type=int, default=Asked.workers, metavar="N", help="how many (default: 2)")
    parser.add_argument("--all-output", action="store_true", help="show the lines of the other workers too: [1] ...")
    parser.add_argument("--check", action="store_true", help="compare one step with one worker's; train nothing")
    address = os.environ.get("RAY_ADDRESS") or None
    parser.add_argument("--address", default=address, help="run on this Ray cluster (default: that of RAY_ADDRESS)")
    there = parser.add_argument_group("on a cluster")
    there.add_argument("--restarts", type=int, default=0, metavar="N", help="how often lost workers are replaced")
    there.add_argument("--cpus-per-worker", type=float, default=1.0, metavar="N", help="CPUs, and threads (default: 1)")
    there.add_argument("--use-gpu", action="store_true", help="give each worker a GPU")
    options, script = split(argv, {"--workers", "--address", "--restarts", "--cpus-per-worker"})
    asked = Asked(script, **vars(parser.parse_args(options)))
    if asked.address is None and any(getattr(asked, name) != getattr(Asked, name) for name in OF_CLUSTER):
        raise RequestError("--restarts, --cpus-per-worker and --use-gpu need a Ray cluster: --address, or RAY_ADDRESS")
    if asked.workers < 1 + asked.check:
        raise RequestError(f"--workers: {asked.workers} is less than {1 + asked.check}")
    if len(script) < 1 + (script[:1] == ["-m"]):
        raise RequestError(f"no script is given: {usage}")
    if script[0] != "-m" and not os.path.isfile(script[0]):
        raise RequestError(f"{script[0]}: there is no such file; a module is given as -m MODULE")
    return asked


def split(argv: Sequence[str], with_value: set[str]) -> tuple[list[str], list[str]]:
    """Return the options, of which some take the next word as their value, and the script with its words."""
    at = 0
    while at < len(argv) and argv[at].startswith("-") and argv[at] != "-m":
        at += 2 if argv[at] in with_value else 1
    return list(argv[:at]), list(argv[at:])
