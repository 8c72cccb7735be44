"""A Ray of one machine that starts and stops fast, and that nobody else can reach.

Without what only a person who looks at a cluster needs.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import ray
import ray._private.node as ray_node
import ray._private.services as ray_services

from nn_train.engine.monkeypatch import environment, replaced
from nn_train.ray_cluster import fork_client
from nn_train.ray_cluster.fork_server import make_fork_server

LET_ALONE = 0.25  # seconds; a raylet whose store has no core at once looks for it again after a second
MODULES = "RAY_preload_python_modules"
running: set[LocalNode] = set()  # of this process


class LocalNode(ray_node.Node):
    """Ray's processes without the API server (the dashboard), the monitor of the autoscaler and that of the logs.

    Attributes:
        include_log_monitor: with that one.
        imports: modules to import while they start.
        forks: whether workers are forks of a process that has imported TensorFlow.
    """

    include_log_monitor = False
    imports: Sequence[str] = ()
    forks = False

    def __init__(self, ray_params: Any = None, **named: Any) -> None:
        ray_params.node_ip_address = "127.0.0.1"  # ray.init would replace it by an address that others can reach
        # Any: for Ray's own another Ray of this machine has, and the agent waits 3.4 s whether it gives it back.
        ray_params.dashboard_agent_listen_port = 0
        ray_params.no_monitor = True
        ray_params.include_log_monitor = self.include_log_monitor
        self.fork_server = make_fork_server() if self.forks else None
        if self.fork_server is None:
            super().__init__(ray_params=ray_params, **named)
            return
        ray_params.setup_worker_path = fork_client.__file__
        with environment(**{fork_client.ADDRESS: self.fork_server.address}):  # the raylet has it, and hands it on
            super().__init__(ray_params=ray_params, **named)

    def kill_all_processes(self, *arguments: object, **named: object) -> None:
        """And what the workers are forks of."""
        running.discard(self)
        super().kill_all_processes(*arguments, **named)
        if self.fork_server is not None:
            self.fork_server.close()
            self.fork_server = None

    def start_api_server(self, **named: object) -> None:
        """Ray waits a second for it to come up, and one for it to end."""

    def start_ray_processes(self) -> None:
        """Import meanwhile. Ray would look for the raylet at once, and, as it is not there yet, a second later."""
        super().start_ray_processes()
        running.add(self)
        time.sleep(LET_ALONE)
        for name in self.imports:
            importlib.import_module(name)


def start(with_logs: bool, imports: Sequence[str], preload: Sequence[str] | None, **options: object) -> None:
    """``ray.init`` of a local Ray; ``ray.shutdown`` stops it.

    Args:
        with_logs: needed for ``log_to_driver``.
        imports, preload: as for ``ray_session``.
        options: of ``ray.init``.
    """
    attributes = {"include_log_monitor": with_logs, "imports": imports, "forks": preload is not None}
    modules = {MODULES: ",".join(preload)} if preload else {}
    with environment(**modules), replaced(ray_node, "Node", type("LocalNode", (LocalNode,), attributes)):
        # "local" never joins a Ray that somebody left running on this machine.
        ray.init(address="local", include_dashboard=False, **options)


@contextlib.contextmanager
def loopback_kept() -> Iterator[None]:
    """Within it ``ray.init`` looks for the Ray at 127.0.0.1 there.

    Ray replaces it by an address that other machines reach, where the nodes of ``cluster.local`` do not listen.
    """
    with replaced(ray_services, "resolve_ip_for_localhost", lambda host: host):
        yield


def is_running() -> bool:
    """Whether this process started the Ray that it uses."""
    return bool(running)
