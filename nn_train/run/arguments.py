"""The command line of ``nn-train run``: options, then a script or ``-m MODULE``, then what belongs to the script."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nn_train.config.cli import command_of
from nn_train.errors import RequestError

ABOUT = """Run a Keras script as it is on several workers of this machine: its model.fit, evaluate and predict are
distributed, batch_size is that of all workers (docs/run.md). All words behind the script are the script's."""
SCALING = ("use_gpu", "cpus_per_worker", "gpus_per_worker")


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        script: as Python takes it: ``train.py``, or ``-m`` and a module, then the words of the script.
        workers: how many.
        all_output: whether to show the lines of all workers.
        check: whether to compare one step with one worker's, and no more.
        address: of a Ray cluster; None: this machine, without Ray.
        restarts: how often lost workers are replaced.
        scaling: fields of that section of a job, for a cluster: what a worker takes.
    """

    script: list[str]
    workers: int = 2
    all_output: bool = False
    check: bool = False
    address: str | None = None
    restarts: int = 0
    scaling: Mapping[str, str] = field(default_factory=dict)


def read_arguments(argv: Sequence[str]) -> Asked:
    """Return what a command line asks for. Raises RequestError."""
    usage = f"{command_of('run')} [OPTION ...] (SCRIPT.py | -m MODULE) [WORD ...]"
    parser = argparse.ArgumentParser(usage=usage, description=ABOUT, allow_abbrev=False)
    parser.add_argument("--workers", type=int, default=Asked.workers, metavar="N", help="how many (default: 2)")
    parser.add_argument("--all-output", action="store_true", help="show the lines of the other workers too: [1] ...")
    parser.add_argument("--check", action="store_true", help="compare one step with one worker's; train nothing")
    address = os.environ.get("RAY_ADDRESS") or None
    parser.add_argument("--address", default=address, help="on this Ray cluster (default: that of RAY_ADDRESS)")
    parser.add_argument(
        "--restarts", type=int, default=0, metavar="N", help="there: how often lost workers are replaced"
    )
    for name in SCALING:
        parser.add_argument(f"--scaling.{name}", metavar="VALUE", help="there: as for train")
    options, script = split(argv, {"--workers", "--address", "--restarts", *(f"--scaling.{name}" for name in SCALING)})
    given = vars(parser.parse_args(options))
    values = {name: given.pop(f"scaling.{name}") for name in SCALING}
    asked = Asked(script, **given, scaling={name: value for name, value in values.items() if value is not None})
    if asked.address is None and (asked.restarts or asked.scaling):
        raise RequestError("--restarts, --scaling: are of a Ray cluster; name it with --address or RAY_ADDRESS")
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
