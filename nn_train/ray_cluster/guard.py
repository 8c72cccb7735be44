"""Ends a worker's process that stands still, so that Ray notices and its work is done again.

A process that is stopped (SIGSTOP), or whose threads wait for one that never lets them on, keeps its connections, and
Ray takes it for busy: the job would wait for ever. (Ray Train asks its workers for a sign of life; Ray Tune and plain
actors are not asked.) A child process, this file as a script, is told every now and then that the process is there,
and ends it when it was not told for too long.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import subprocess
import sys
import threading

TOLD, SELDOM = 20, 3.0  # times per time-out, and seconds at most between two of them


class Guard:
    """From now on this process is ended when for ``timeout`` seconds none of its threads gets a moment.

    Most long calls of TensorFlow's and NumPy's are no silence, since they let other threads on. Some are: loading
    libraries, joining a strategy, and what else holds Python's lock, such as ``pickle.load`` of a large file.

    Args:
        timeout: seconds.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout, self.changed = timeout, threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        # No site-packages, and no modules of this package: it takes 10 MB and is there in 20 ms.
        command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(timeout)]
        null = subprocess.DEVNULL
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null)
        except OSError:  # the account or the container may have no more processes; the work goes on without a guard
            return
        threading.Thread(target=self.keep_telling, daemon=True, name="guard").start()

    def change(self, timeout: float) -> None:
        """From now on another number of seconds."""
        self.timeout = timeout
        self.tell()
        self.changed.set()

    def tell(self) -> None:
        """Once that this process is there, and how long it may be silent."""
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self.process.stdin.fileno(), struct.pack("d", self.timeout))

    def keep_telling(self) -> None:
        while self.process is not None and self.process.poll() is None:
            self.tell()
            self.changed.wait(min(self.timeout / TOLD, SELDOM))
            self.changed.clear()


def watch(pid: int, timeout: float) -> None:
    """In the child: until the process ``pid`` has ended, or stands still."""
    # Time in which this process is suspended as well, with the job or the machine, is not counted: Linux waits for the
    # rest when it goes on.
    while select.select([0], [], [], timeout)[0]:
        message = os.read(0, struct.calcsize("d"))
        if not message:
            return
        (timeout,) = struct.unpack("d", message)
    if os.getppid() == pid:  # else it has ended, and its number may be another process's
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with its process
    watch(int(sys.argv[1]), float(sys.argv[2]))
