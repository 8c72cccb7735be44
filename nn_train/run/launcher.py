"""The launcher: starts the workers of a script on this machine, passes signals and lines on, and ends with them.

It imports neither TensorFlow nor Ray.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen

from nn_train.engine import addresses
from nn_train.errors import EXIT_DONE, EXIT_FAILED
from nn_train.run.arguments import Asked
from nn_train.run.environment import environments, gpus_here
from nn_train.run.script import LOST

SCRIPT = str(Path(__file__).with_name("script.py"))
GRACE = 5.0  # seconds in which the others end by themselves when one has failed
PATIENCE = 30.0  # seconds for what a script does when it is interrupted, such as saving its model
Show = Callable[[bytes], object]
KEPT = 200  # lines of a worker that are shown when it fails


class Worker:
    """A process that runs the script. It ends with this one, and those that it has started end with it.

    Args:
        rank: of this worker.
        asked: the script, and what is to be done with it.
        environment: of the process.
        port: a descriptor that holds its port until it is taken; -1 where there is no other worker.
        show: is given its lines; without, those of rank 0 go where this process's go.

    Attributes:
        code: as Popen has it, once it has ended.
        ended: when that was seen.
        ended_here: whether it was not given more time.
        told: of how many signals.
    """

    def __init__(
        self, rank: int, asked: Asked, environment: Mapping[str, str], port: int, show: Show | None = None
    ) -> None:
        self.rank, self.code, self.ended, self.ended_here, self.told = rank, 0, math.inf, False, 0
        self.lines: deque[bytes] = deque(maxlen=KEPT)
        alive, self.alive = os.pipe()  # closed here when this process ends, in whatever way
        command = [sys.executable, "-u", SCRIPT, str(alive), str(port), str(int(asked.check)), *asked.script]
        out, err = (None, None) if rank == 0 and show is None else (PIPE, STDOUT)
        kept = [one for one in (alive, port) if one >= 0]
        self.process = Popen(
            command, env=environment, stdin=DEVNULL, stdout=out, stderr=err, pass_fds=kept, start_new_session=True
        )
        os.close(alive)
        self.reader = threading.Thread(target=self.read, args=(show,), daemon=True)
        self.reader.start()

    def read(self, show: Show | None) -> None:
        """Keep its lines, and perhaps show them at once."""
        for line in self.process.stdout or ():
            self.lines.append(line)
            if show is not None:
                show(line)

    def look(self) -> bool:
        """Return whether it has ended, and with it those that it has started."""
        if self.ended == math.inf and os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            self.send(signal.SIGKILL)  # before its number can be another's
            self.code, self.ended = self.process.wait(), time.monotonic()
            self.reader.join(1.0)  # what has left its session may hold its output open
        return self.ended < math.inf

    def send(self, number: int) -> None:
        """Send a signal to its processes."""
        if self.ended == math.inf:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def end(self) -> None:
        """End it where it has not ended."""
        self.ended_here |= self.ended == math.inf
        self.send(signal.SIGKILL)


def launch(asked: Asked) -> int:
    """Run the script on workers of this machine; return its exit code, as a shell has it. Raises RequestError."""
    signals, cores = noted_signals(), len(os.sched_getaffinity(0))
    names = [addresses.hold_address("127.0.0.1") for _ in range(asked.workers)]
    ports = [one.fileno() for one in addresses.held] if asked.workers > 1 else [-1]
    workers: list[Worker] = []
    try:
        for rank, environment in enumerate(environments(os.environ, names, cores, gpus_here(os.environ))):
            show = functools.partial(say, rank) if asked.all_output and rank > 0 else None
            workers.append(Worker(rank, asked, environment, ports[rank], show))
        addresses.release_addresses()
        order = wait_for_all(workers, signals)
    finally:
        for worker in workers:
            worker.end()
    if signals:
        is_cut = workers[0].code in (EXIT_FAILED, LOST)  # it may miss the others before it hears the signal
        return 128 + signals[0][0] if is_cut else shell_code(workers[0].code)
    rank, code = cause([(worker.rank, worker.code) for worker in order if not worker.ended_here])
    if rank > 0 or code < 0:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else "failed"
        shown = b"" if asked.all_output else b"".join(workers[rank].lines)
        print(f"error: worker {rank} {how}\n{shown.decode(errors='replace')}", end="", file=sys.stderr)
    return shell_code(code)


def say(rank: int, line: bytes) -> None:
    """Show a worker's line with its number."""
    os.write(2, b"[%d] %b" % (rank, line))


def noted_signals() -> list[tuple[int, float]]:
    """Note from now on which signals come, and when, instead of ending; not those that this process shall ignore."""
    signals: list[tuple[int, float]] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: signals.append((number, time.monotonic())))
    return signals


def wait_for_all(workers: Sequence[Worker], signals: Sequence[tuple[int, float]]) -> list[Worker]:
    """Return the workers in the order of their ends. Pass signals on, and end those that would wait for others.

    The first is told of a signal first: were another gone before, it would be in no state to save its model.
    """
    order: list[Worker] = []
    while len(order) < len(workers):
        order += [worker for worker in workers if worker not in order and worker.look()]
        for worker in workers:
            for number, when in signals[worker.told :]:
                if worker.rank == 0 or time.monotonic() > min(when + GRACE, workers[0].ended):
                    worker.told += 1
                    worker.send(number)
        failures = [worker.ended for worker in order if worker.code]
        if time.monotonic() > deadline(failures, workers[0].ended, [when for _, when in signals]):
            for worker in workers:
                worker.end()
        time.sleep(0.05)
    return order


def deadline(failures: Sequence[float], end_of_chief: float, interrupts: Sequence[float]) -> float:
    """Return when the workers that are left are ended, from the times of what has happened."""
    if interrupts:
        return min(interrupts[0] + PATIENCE, end_of_chief + GRACE, *interrupts[1:2])
    return min(failures, default=math.inf) + GRACE


def cause(ended: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the rank and code of the worker that failed first, in the order of ends; the chief's, where it failed too.

    A mistake of the script is one of all workers. A worker that fails because another is gone says so by its code.
    """
    code = EXIT_FAILED if any(code for _, code in ended) else EXIT_DONE
    return min((one for one in ended if one[1] not in (0, LOST)), key=lambda one: one[0] > 0, default=(0, code))


def shell_code(code: int) -> int:
    """Return the exit code that a shell tells for a process."""
    return code if code >= 0 else 128 - code
