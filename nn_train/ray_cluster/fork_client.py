"""What Ray starts in the place of a worker: asks the fork server for one, and lasts as long as that.

Ray runs this file as its ``setup_worker.py``, with the command of the worker as arguments. Nothing is imported here
that takes time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys

WITHIN = 40.0  # seconds; Ray gives a worker 60 to begin, and from a slow disk TensorFlow may take longer
ADDRESS = "NN_TRAIN_FORK_SERVER"  # the environment variable that has the path of its socket
RUNTIME_ENV = "--serialized-runtime-env-context"


def main(arguments: list[str]) -> None:
    """``arguments``: options of Python, the worker's file and its own."""
    command = arguments[next(at for at, one in enumerate(arguments) if not one.startswith("-")) :]
    # Until it is known whom it is for: else a worker could be left that nobody ends.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(WITHIN)
        try:
            connection.connect(os.environ[ADDRESS])
            socket.send_fds(connection, [b" "], [0, 1, 2])
            asked = {"command": command, "folder": os.getcwd(), "environment": dict(os.environ)}
            connection.sendall(json.dumps(asked).encode())
            connection.shutdown(socket.SHUT_WR)
            worker = int(connection.recv(64))
        except (KeyError, OSError, ValueError):  # no server, or one that ended meanwhile, or takes too long
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            return
        connection.settimeout(None)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(worker, signal.SIGTERM))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        with contextlib.suppress(OSError):
            connection.recv(1)  # nothing, when the worker ends
        sys.exit()


if __name__ == "__main__":
    given = sys.argv[1:]
    if any(one.startswith(RUNTIME_ENV) for one in given):  # which Ray's own makes
        worker = next(one for one in given if one.endswith("default_worker.py"))
        given = [os.path.join(os.path.dirname(worker), "setup_worker.py"), *given]
    else:
        given = [one for one in given if not one.startswith("--language=")]
        main(given)
    os.execv(sys.executable, [sys.executable, *given])
