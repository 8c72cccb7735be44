"""Events from the workers to the person at the prompt.

Workers report through Ray Train; its controller, which runs on the driver's machine, passes each event on
through a socket in the file system. No extra process, no port, no log scraping.
"""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray.train import UserCallback
from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from ray.train.v2._internal.execution.worker_group import WorkerGroupContext

from nn_train.config.schema import ScalingConfig
from nn_train.training.cluster import is_waiting, waiting_for

Handler = Callable[[dict[str, Any]], None]
BEGUN: set[str] = set()  # in the controller: the names of the runs that its workers have begun
PATIENCE = 3.0  # seconds; workers that have room get it in a fraction of one


class ForwardReports(UserCallback):
    """In the controller: passes on what the chief reported."""

    def __init__(self, tell: Handler) -> None:
        self.tell = tell

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        if metrics[0]["event"] == "start":
            BEGUN.add(metrics[0]["run"])
        self.tell(metrics[0])


class AnnounceWorkers(WorkerGroupCallback):
    """In the controller: tells that workers start (event ``starting``) and, once, that they wait (``waiting``)."""

    def __init__(self, scaling: ScalingConfig, tell: Handler) -> None:
        self.scaling, self.tell = scaling, tell
        self.waiting = False

    @contextlib.contextmanager
    def on_worker_group_start(self) -> Iterator[None]:
        job = ray.get_runtime_context().get_job_id()
        timer = threading.Timer(PATIENCE, self.tell_if_waiting, args=(job,))
        timer.daemon = True
        timer.start()
        try:
            yield
            self.waiting = False
        finally:
            timer.cancel()

    def before_worker_group_start(self, worker_group_context: WorkerGroupContext) -> None:
        if not self.waiting:  # Ray Train gives up after a minute without room, and begins again
            self.tell({"event": "starting", "workers": worker_group_context.num_workers})

    def tell_if_waiting(self, job: str) -> None:
        if not self.waiting and is_waiting(ray.util.placement_group_table(), job):
            self.waiting = True
            text = waiting_for(self.scaling, ray.cluster_resources(), ray.available_resources())
            self.tell({"event": "waiting", "for": text})


def send(address: str, event: dict[str, Any]) -> None:
    """From the controller to the driver that listens at ``address``."""
    # A driver that is gone cannot be told anything; the run itself goes on.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(address)
        connection.sendall(json.dumps(event).encode())


@contextlib.contextmanager
def event_listener(handler: Handler) -> Iterator[str]:
    """Call ``handler`` in a thread with every event sent to the address that is yielded, in order."""
    with tempfile.TemporaryDirectory(prefix="nn-") as folder:
        address = str(Path(folder) / "events")
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(address)
        server.listen(64)

        def listen() -> None:
            while True:
                connection, _ = server.accept()
                with connection, connection.makefile("rb") as stream:
                    content = stream.read()
                if not content:
                    return
                try:
                    handler(json.loads(content))
                except Exception:  # a broken handler must not stop the run, nor hide that it is broken
                    traceback.print_exc()

        thread = threading.Thread(target=listen, daemon=True, name="events")
        thread.start()
        try:
            yield address
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(address)  # an empty message ends the thread after all events before it
            thread.join(timeout=5)
            server.close()
