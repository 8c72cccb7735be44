"""The nodes of a cluster on this machine: their processes, and the folder that holds what is theirs.

Every node is a process with a mark in its environment. All that it starts inherits the mark: raylet, workers, jobs, and
the jobs' own processes, also when the node itself died. So exactly these can be ended, and no other Ray.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from nn_train.engine.addresses import free_addresses
from nn_train.errors import RequestError, TrainingError

HOST = "127.0.0.1"
MARK = "NN_TRAIN_LOCAL_CLUSTER"
READY_WITHIN = 120.0  # seconds
GRACE = 10.0  # seconds from SIGTERM to SIGKILL
RAY = (sys.executable, "-m", "ray.scripts.scripts")


@dataclass(frozen=True)
class State:
    """What ``up`` leaves for ``status`` and ``down``.

    Attributes:
        mark: the value of ``MARK``.
        address, dashboard: ``host:port`` of the GCS; URL of the job server.
        cpus: of each node.
        nodes: process ids, the head first.
    """

    mark: str
    address: str
    dashboard: str
    cpus: int
    nodes: tuple[int, ...] = ()


class Cluster:
    """The one such cluster that a user can have on a machine."""

    def __init__(self) -> None:
        # A short path: Ray's sockets lie below it, and their paths are at most 107 bytes long.
        self.folder = Path(tempfile.gettempdir(), f"nn_train-{os.getuid()}")
        self.file = self.folder / "local.json"

    def state(self) -> State:
        """Raises RequestError when there is none."""
        try:
            fields = json.loads(self.file.read_text())
            return State(**{**fields, "nodes": tuple(fields["nodes"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RequestError(f"{self.file}: {error}; if no Ray of it is left, remove {self.folder}") from error

    def processes(self) -> set[int]:
        """All that ``up`` started and that lives."""
        return marked(self.state().mark) if self.file.exists() else set()

    def start(self, nodes: int, cpus: int) -> State:
        """Start ``nodes`` nodes and wait until jobs can be submitted.

        Raises:
            TrainingError: a node ended, or they were not ready in time; then nothing is left running.
        """
        self.stop()
        self.folder.mkdir(mode=0o700)
        gcs, dashboard = free_addresses(HOST, 2)
        state = State(secrets.token_hex(8), gcs, f"http://{dashboard}", cpus)
        environment = {**os.environ, MARK: state.mark, "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
        environment.pop("RAY_ADDRESS", None)
        # Despite its name: with it Ray's agents keep 127.0.0.1, instead of the address that other machines reach, at
        # which these nodes do not listen. Nobody could submit a job.
        environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # A job's `python` is this one, also where no virtual environment was activated.
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        make_token(environment)
        try:
            self.write(state)
            for rank in range(nodes):
                state = replace(state, nodes=(*state.nodes, self.start_node(state, rank, environment)))
                self.write(state)
                if rank == 0:  # the others join it
                    self.wait(state)
            self.wait(state)
        except BaseException:
            self.stop()
            raise
        return state

    def start_node(self, state: State, rank: int, environment: dict[str, str]) -> int:
        """The process id of a new node."""
        gcs, dashboard = (int(address.rpartition(":")[2]) for address in (state.address, state.dashboard))
        settings = {"head": rank == 0, "gcs_port": gcs, "dashboard_port": dashboard, "cpus": state.cpus}
        command = [sys.executable, "-m", "cluster.local_node", json.dumps({**settings, "folder": str(self.folder)})]
        with self.log(rank).open("w") as log:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a later Ctrl-C in this terminal is not meant for it
            ).pid

    def write(self, state: State) -> None:
        """Keep the state; before a node starts as well, so that `down` ends it if this process is killed."""
        self.file.write_text(json.dumps(asdict(state)))

    def log(self, rank: int) -> Path:
        """What a node prints."""
        return self.folder / f"node-{rank}.log"

    def wait(self, state: State) -> None:
        """Return once all nodes of ``state`` joined and the job server answers; raise TrainingError if they do not."""
        give_up = time.monotonic() + READY_WITHIN
        while live_nodes(state.dashboard) < len(state.nodes):
            alive = marked(state.mark)
            ended = [rank for rank, pid in enumerate(state.nodes) if pid not in alive]
            if ended or time.monotonic() > give_up:
                rank = ended[0] if ended else len(state.nodes) - 1
                what = "ended" if ended else f"was not ready within {READY_WITHIN:g} s"
                printed = self.log(rank).read_text(errors="replace").strip()[-1500:]
                raise TrainingError(f"node {rank} {what}; nothing is left running. It printed:\n{printed}")
            time.sleep(0.2)

    def stop(self) -> int:
        """End everything and remove the folder, with Ray's logs; how many processes there were."""
        if self.folder.exists() and self.folder.stat().st_uid != os.getuid():
            raise RequestError(f"{self.folder} belongs to another user; set TMPDIR to a folder of your own")
        ended: set[int] = set()
        began = time.monotonic()
        while alive := self.processes():
            for pid in alive - ended if time.monotonic() - began < GRACE else alive:
                with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                    os.kill(pid, signal.SIGTERM if time.monotonic() - began < GRACE else signal.SIGKILL)
            ended |= alive
            time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)
        return len(ended)


def make_token(environment: dict[str, str]) -> None:
    """Make the token that every node and client shows, unless there is one."""
    run = subprocess.run([*RAY, "get-auth-token", "--generate"], capture_output=True, text=True, env=environment)
    if run.returncode:
        raise TrainingError(f"Ray's token cannot be made: {run.stderr.strip()[-500:]}")


def live_nodes(dashboard: str) -> int:
    """How many nodes the job server knows to live; 0 before it answers."""
    os.environ["RAY_AUTH_MODE"] = "token"  # read when Ray is imported
    from ray.util.state import list_nodes

    try:
        return len(list_nodes(address=dashboard, filters=[("state", "=", "ALIVE")], timeout=5))
    except Exception:  # Ray's own, of requests, or of a half-started server; the caller gives up after a while
        return 0


def marked(mark: str) -> set[int]:
    """The processes of this user that carry the mark."""
    wanted = f"{MARK}={mark}".encode()
    found = set()
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # another user's, or it ended
            if wanted in file.read_bytes().split(b"\0"):
                found.add(int(file.parent.name))
    return found
