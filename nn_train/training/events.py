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

from ray.train import UserCallback

Handler = Callable[[dict[str, Any]], None]


class ForwardEvents(UserCallback):
    """In the controller: passes on what the chief reported, and that workers failed."""

    def __init__(self, address: str) -> None:
        self.address = address

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        self.send(metrics[0])

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        ranks = sorted(worker_exceptions)
        self.send({"event": "failure", "ranks": ranks, "cause": type(worker_exceptions[ranks[0]]).__name__})

    def send(self, event: dict[str, Any]) -> None:
        # A driver that is gone cannot be told anything; the run itself goes on.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(self.address)
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
