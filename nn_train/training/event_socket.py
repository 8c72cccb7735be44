"""Events from the workers to the person at the prompt.

Workers report through Ray Train; its controller, which runs in the driver, passes each event on through a socket in the
file system: Ray Train sends the controller's callbacks to the workers too, and a path survives that. No extra process,
no port, no log scraping.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

from nn_train.events import Handler, OfTraining, from_json, to_json


def send(address: str, event: OfTraining) -> None:
    """From the controller to the driver that listens at ``address``."""
    # A driver that is gone cannot be told anything; the run itself goes on.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(address)
        connection.sendall(to_json(event))


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
                    handler(from_json(content))
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
