"""Several Ray nodes on this machine, for trying a multi-node job on a laptop:

    python -m cluster.local up --nodes 3 --cpus 1      # or: up cluster/local.yaml
    python -m cluster.local status
    python -m cluster.local down

The nodes listen on loopback only and ask for Ray's token. They are ordinary ones: the same raylets, job server and
scheduling as on machines of their own; but they share one memory, one file system and the cores. No GPUs, Linux only.

Exit codes: 0 done; 1 it failed, or (status) a node is missing; 2 the request is wrong; 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from cluster.local_nodes import Cluster, State
from nn_train.config.cli import exit_code
from nn_train.errors import EXIT_DONE, EXIT_FAILED, RequestError

LIMIT = 64  # nodes: each takes about 0.3 GB
DEFAULTS = {"nodes": 2, "cpus": 1}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start the nodes")
    start.add_argument("file", nargs="?", type=Path, help="a YAML file of nodes and cpus, such as cluster/local.yaml")
    start.add_argument("--nodes", type=number, help=f"how many, 1 to {LIMIT}; default {DEFAULTS['nodes']}")
    start.add_argument("--cpus", type=number, help=f"CPUs that each one offers to jobs; default {DEFAULTS['cpus']}")
    commands.add_parser("down", help="end what `up` started")
    commands.add_parser("status", help="say which nodes live")
    arguments = parser.parse_args(argv)
    if not sys.platform.startswith("linux"):
        raise RequestError("cluster.local: works on Linux only; without it jobs start a Ray of one node by themselves")
    if arguments.command == "up":
        chosen = DEFAULTS | (read(arguments.file) if arguments.file else {})
        return up(Cluster(), arguments.nodes or chosen["nodes"], arguments.cpus or chosen["cpus"])
    return {"down": down, "status": status}[arguments.command](Cluster())


def read(file: Path) -> dict[str, int]:
    """What a file says of ``DEFAULTS``. RequestError."""
    try:
        given: object = yaml.safe_load(file.read_text()) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RequestError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(given, dict) or not given.keys() <= DEFAULTS.keys():
        raise RequestError(f"{file}: a file of {' and '.join(DEFAULTS)}, such as cluster/local.yaml, is expected")
    try:
        return {name: number(str(value)) for name, value in given.items()}
    except argparse.ArgumentTypeError as error:
        raise RequestError(f"{file}: {error}") from error


def number(text: str) -> int:
    """A whole number from 1 to ``LIMIT``."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= LIMIT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {LIMIT}")
    return int(text)


def up(cluster: Cluster, nodes: int, cpus: int) -> int:
    """Start the nodes and say what to do next. What was started is ended again when it fails or is interrupted."""
    if cluster.processes():
        state = cluster.state()
        raise RequestError(
            f"cluster.local: {len(state.nodes)} nodes are up already, at {state.address}; "
            "use them, or end them first with: python -m cluster.local down"
        )
    print(f"starting {nodes} nodes; a few seconds each", flush=True)
    state = cluster.start(nodes, cpus)
    print(
        f"{nodes} nodes of {cpus} CPUs are up. Dashboard: {state.dashboard} (token: ray get-auth-token)\n\n"
        f"  export RAY_AUTH_MODE=token RAY_ADDRESS={state.address} RAY_API_SERVER_ADDRESS={state.dashboard}\n"
        "  ray job submit --working-dir . -- python -m jobs.train "
        f'--scaling.num_workers {nodes * cpus} --run.storage_path "$PWD/results"\n'
        "  python -m cluster.local down; unset RAY_ADDRESS RAY_API_SERVER_ADDRESS"
    )
    return EXIT_DONE


def down(cluster: Cluster) -> int:
    """End all that ``up`` started, and what that started."""
    ended = cluster.stop()
    print(f"ended {ended} processes" if ended else "nothing is up")
    return EXIT_DONE


def status(cluster: Cluster) -> int:
    """Say which nodes live."""
    alive = cluster.processes()
    if not alive:
        print("nothing is up; start with: python -m cluster.local up --nodes 2")
        return EXIT_FAILED
    state: State = cluster.state()
    for rank, pid in enumerate(state.nodes):
        kind = "head" if rank == 0 else "worker"
        print(f"node {rank}  {kind:6}  {state.cpus} CPUs  process {pid}  {'alive' if pid in alive else 'DEAD'}")
    print(f"RAY_ADDRESS={state.address}  dashboard {state.dashboard}")
    complete = set(state.nodes) <= alive
    if not complete:
        print("a node is missing; start afresh with: python -m cluster.local down, then up")
    return EXIT_DONE if complete else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
