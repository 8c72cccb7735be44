"""A Ray of one machine that starts and stops fast, and that nobody else can reach.

Without what only a person who looks at a cluster needs.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import ray
import ray._private.node as ray_node
import ray._private.services as ray_services
import ray._private.state as ray_state
import ray._private.worker as ray_worker
from ray._raylet import GcsClientOptions  # type: ignore[attr-defined]

from nn_train.ray_cluster import fork_client
from nn_train.ray_cluster.fork_server import make_fork_server
from nn_train.ray_cluster.preload import Preload, finds_this_package
from nn_train.ray_cluster.replaced import replaced

LOOK_EVERY = 0.02  # seconds
LET_ALONE = 0.25  # seconds; a raylet whose store has no core at once looks for it again after a second
LOOK_FOR = 30.0
MODULES, IN_ADVANCE = "RAY_preload_python_modules", "--num_prestart_python_workers"


class LocalNode(ray_node.Node):
    """Ray's processes without the API server (the dashboard), the monitor of the autoscaler and that of the logs.

    Attributes:
        include_log_monitor: with that one.
        imports: modules to import while they start.
        preload: what the processes for workers import meanwhile.
    """

    include_log_monitor = False
    imports: Sequence[str] = ()
    preload: Preload | None = None

    def __init__(self, ray_params: Any = None, **named: Any) -> None:
        ray_params.node_ip_address = "127.0.0.1"  # ray.init would replace it by an address that others can reach
        # Any: for Ray's own another Ray of this machine has, and the agent waits 3.4 s whether it gives it back.
        ray_params.dashboard_agent_listen_port = 0
        ray_params.no_monitor = True
        ray_params.include_log_monitor = self.include_log_monitor
        self.fork_server = make_fork_server() if self.preload is not None else None
        if self.fork_server is None:
            super().__init__(ray_params=ray_params, **named)
            return
        ray_params.setup_worker_path = fork_client.__file__
        os.environ[fork_client.ADDRESS] = self.fork_server.address
        try:
            super().__init__(ray_params=ray_params, **named)
        finally:
            del os.environ[fork_client.ADDRESS]  # the raylet has it, and hands it on

    def kill_all_processes(self, *arguments: object, **named: object) -> None:
        """And what the workers are forks of."""
        super().kill_all_processes(*arguments, **named)
        if self.fork_server is not None:
            self.fork_server.close()
            self.fork_server = None

    def start_api_server(self, **named: object) -> None:
        """Ray waits a second for it to come up, and one for it to end."""

    def start_raylet(self, *arguments: Any, **named: Any) -> None:
        """With a process in advance for each worker, not for each CPU, where they import what is large."""
        kept = ray_services.start_ray_process

        def start(command: list[str], *rest: Any, **options: Any) -> Any:
            if self.preload is not None:
                name = f"{IN_ADVANCE}="
                cpus = next(int(word.removeprefix(name)) for word in command if word.startswith(name))
                command = [word for word in command if not word.startswith(name)]
                command.append(f"{name}{self.preload.in_advance(cpus)}")
            return kept(command, *rest, **options)

        with replaced(ray_services, "start_ray_process", start):
            super().start_raylet(*arguments, **named)

    def start_ray_processes(self) -> None:
        """Return once the raylet is known to the GCS: Ray would look for it at once, and then a second later."""
        super().start_ray_processes()
        if self.imports:  # this process has nothing else to do meanwhile
            time.sleep(LET_ALONE)
        for name in self.imports:
            importlib.import_module(name)
        state = ray_state.GlobalState()
        state._initialize_global_state(
            GcsClientOptions.create(self.gcs_address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False)
        )
        give_up = time.monotonic() + LOOK_FOR
        while not state.node_table() and time.monotonic() < give_up:
            time.sleep(LOOK_EVERY)


def start(with_logs: bool, imports: Sequence[str] = (), preload: Preload | None = None, **options: object) -> None:
    """``ray.init`` of a local Ray; ``ray.shutdown`` stops it.

    Args:
        with_logs: needed for ``log_to_driver``.
        imports: modules that the caller is to need, imported meanwhile.
        preload: what its processes are to need.
        options: of ``ray.init``.
    """
    if not finds_this_package():
        preload = None
    environment = os.environ.get(MODULES)
    attributes = {"include_log_monitor": with_logs, "imports": imports, "preload": preload}
    if preload is not None:
        os.environ[MODULES] = preload.modules
    try:
        with replaced(ray_node, "Node", type("LocalNode", (LocalNode,), attributes)):
            # "local" never joins a Ray that somebody left running on this machine.
            ray.init(address="local", include_dashboard=False, **options)
    finally:
        if environment is None:
            os.environ.pop(MODULES, None)
        else:
            os.environ[MODULES] = environment


@contextlib.contextmanager
def loopback_kept() -> Iterator[None]:
    """Within it ``ray.init`` looks for the Ray at 127.0.0.1 there.

    Ray replaces it by an address that other machines reach, where the nodes of ``cluster.local`` do not listen.
    """
    with replaced(ray_services, "resolve_ip_for_localhost", lambda host: host):
        yield


def is_running() -> bool:
    """Whether this process started the Ray that it uses."""
    return isinstance(ray_worker._global_node, LocalNode)
