"""Ends a worker's process that stands still, so that Ray notices and its work is done again.

A process that is stopped (SIGSTOP), or whose threads wait for one that never lets them on, keeps its connections, and
Ray takes it for busy: the job would wait for ever. (Ray Train asks its workers for a sign of life; Ray Tune and plain
actors are not asked.) A child process, this file as a script, is told every now and then that the process is there,
and ends it when it was not told for too long.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time

TOLD = 20  # times per time-out


def end_when_silent(timeout: float) -> None:
    """From now on this process is ended when for ``timeout`` seconds none of its threads gets a moment.

    Call it once in a process. Long calls of TensorFlow's or NumPy's are no silence: they let other threads on.
    """
    # No site-packages, and no modules of its own: it takes 10 MB and is there in 20 ms.
    command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(timeout)]
    guard = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert guard.stdin is not None
    pipe = guard.stdin.fileno()

    def tell() -> None:
        while guard.poll() is None:
            try:
                os.write(pipe, b".")
            except BrokenPipeError:
                return
            time.sleep(timeout / TOLD)

    threading.Thread(target=tell, daemon=True, name="guard").start()


def watch(pid: int, timeout: float) -> None:
    """In the child: until the process ``pid`` has ended, or stands still."""
    while select.select([0], [], [], timeout)[0]:
        if not os.read(0, 4096):
            return
    if os.getppid() == pid:  # else it has ended, and its number may be another process's
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    watch(int(sys.argv[1]), float(sys.argv[2]))
