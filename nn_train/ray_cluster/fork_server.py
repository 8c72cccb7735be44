"""The parent of the workers of a local Ray: it imports once what they need, and each of them is a fork of it.

A worker so begins in half a second, in which it imports Ray, instead of two more for TensorFlow, and they share the
memory of what was imported. Ray starts ``fork_client.py`` in the place of a worker, which hands everything
that makes a process to the server, and lasts as long as the worker.

Nothing that is imported here may start a thread of Python, or one of TensorFlow's: those would not be in the fork.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path


def make_fork_server() -> ForkServer | None:
    """One that imports TensorFlow. None where forks of a process are not safe after that, or it cannot be reached."""
    if sys.platform != "linux":
        return None
    from nn_train.engine import import_tensorflow

    folder = tempfile.mkdtemp(prefix="nn_train-workers-")  # which nobody else may enter
    try:
        return ForkServer(folder, import_tensorflow.__file__)
    except OSError:  # the path of a temporary folder can be too long for a socket
        shutil.rmtree(folder)
        return None


class ForkServer:
    """The server, as the driver has it. It ends when the driver closes it, or ends itself.

    Args:
        folder: of its socket; it is removed in the end.
        file: whose ``import_tensorflow`` is called. Nothing of this package is imported, of which a worker may find
            another copy, and no Ray: a worker's must be made in its own environment.

    Attributes:
        address: path of its socket.
    """

    def __init__(self, folder: str, file: str) -> None:
        self.folder, self.address = folder, str(Path(folder, "socket"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)  # from now on who connects waits for the server
            listener.listen(1024)
            number = listener.fileno()
            command = [sys.executable, __file__, str(number), folder, file]
            silent = subprocess.DEVNULL
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=silent, stderr=silent, pass_fds=[number]
            )

    def close(self) -> None:
        """Workers that there are go on."""
        self.process.terminate()  # which may be importing yet
        self.process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


def serve(listener: socket.socket, folder: str, file: str) -> None:
    """Import TensorFlow, and fork for who connects, until the standard input ends. In a fork: be the worker.

    ``folder``: of the socket; removed at the end.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as Ray's processes: Ctrl-C is the driver's
    with contextlib.suppress(Exception):  # whoever imports it again, for its work, tells what is wrong
        runpy.run_path(file)["import_tensorflow"]()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    gc.freeze()  # collections would copy the memory that is shared
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # jemalloc's, of Arrow
    while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
        if ready:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                work(connection)
                return
            connection.close()
    shutil.rmtree(folder, ignore_errors=True)


def work(connection: socket.socket) -> None:
    """Be the process that the client was started as. ``connection`` stays open as long as it lasts."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as file:
        asked = json.load(file)
    for own, stream in enumerate(streams):
        os.dup2(stream, own)
        os.close(stream)
    connection.sendall(str(os.getpid()).encode())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # Python's own generator is seeded anew in each fork
    sys.argv[:] = asked["command"]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    del sys.path[0]  # this folder, whose modules are none that others import
    _, given, folder, file = sys.argv
    serve(socket.socket(fileno=int(given)), folder, file)
