"""Processes in namespaces of their own, which end with the first of them, and that one with ours."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

READY_WITHIN = 20.0  # seconds


class Alone:
    """What runs in namespaces.

    Attributes:
        folder: what it has on the disk; a file ``ready`` tells that it is.
        process: the ``unshare`` that made the namespaces; its child is the first process in them.
    """

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def init(self) -> int:
        """The process id, as seen from here, of the first process."""
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def wait_until_ready(self) -> None:
        """Return once it is; fail with what it printed into a file ``log``, if it has one."""
        give_up, log = time.monotonic() + READY_WITHIN, self.folder / "log"
        while not (self.folder / "ready").exists():
            said = log.read_text() if log.exists() else ""
            assert self.process.poll() is None, f"{self.folder.name} ended:\n{said}"
            assert time.monotonic() < give_up, f"{self.folder.name} is not ready:\n{said}"
            time.sleep(0.05)

    def end(self) -> None:
        """Kill the first process, and with it all others."""
        try:
            os.kill(self.init, signal.SIGKILL)
        except (OSError, IndexError):  # there is none: it ended, or was not born yet
            self.process.kill()
        self.process.wait()
