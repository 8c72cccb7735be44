"""The launcher: starts the workers of a script on this machine, passes signals and lines on, and ends with them.

It imports neither TensorFlow nor Ray.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from nn_train.config.cli import exit_code
from nn_train.engine import addresses
from nn_train.errors import EXIT_DONE, EXIT_FAILED
from nn_train.run.arguments import Asked, read_arguments
from nn_train.run.environment import cores_here, environments, gpus_here
from nn_train.run.script import LOST

HOST = "127.0.0.1"
EVERY = 0.05  # seconds between two looks at the workers
GRACE = 5.0  # seconds in which the others end by themselves when one has failed
PATIENCE = 30.0  # seconds for what a script does when it is interrupted, such as saving its model
KEPT = 200  # lines of a worker that are shown when it fails
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Worker:
    """A process that runs the script. It ends with this one, and those that it has started end with it.

    Args:
        rank: of this worker; the lines of rank 0 go where this process's go.
        script: and its words, and before it whether to check one step only.
        environment: of the process.
        port: a descriptor that holds its port until it is taken; none where there is no other worker.
        show: is given the lines of the other ranks, one at a time.

    Attributes:
        code: as Popen has it, once it has ended.
        ended: when that was seen.
        ended_here: whether it was not given more time.
    """

    def __init__(
        self,
        rank: int,
        script: Sequence[str],
        environment: Mapping[str, str],
        port: int | None,
        show: Callable[[str], None],
    ) -> None:
        self.rank, self.code, self.ended, self.ended_here = rank, 0, math.inf, False
        alive, self.alive = os.pipe()  # closed here when this process ends, in whatever way
        file = str(Path(__file__).with_name("script.py"))
        self.process = subprocess.Popen(
            [sys.executable, "-u", file, str(alive), str(-1 if port is None else port), *script],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=None if rank == 0 else subprocess.PIPE,
            stderr=None if rank == 0 else subprocess.STDOUT,
            pass_fds=[alive] if port is None else [alive, port],
            start_new_session=True,
        )
        os.close(alive)
        self.reader = threading.Thread(target=read, args=(self.process.stdout, show), daemon=True)
        self.reader.start()

    def look(self) -> bool:
        """Return whether it has ended, and with it those that it has started."""
        if self.ended == math.inf and os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            self.send(signal.SIGKILL)  # before its number can be another's
            self.code, self.ended = self.process.wait(), time.monotonic()
            self.reader.join(1.0)  # others may hold its output open
        return self.ended < math.inf

    def send(self, number: int) -> None:
        """Send a signal to its processes."""
        if self.ended == math.inf:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


def read(lines: IO[bytes] | None, show: Callable[[str], None]) -> None:
    """Give a worker's lines to ``show``."""
    for line in lines or ():
        show(line.decode(errors="replace"))


def main(argv: Sequence[str]) -> int:
    """Run the script that a command line names; return the exit code of the process."""
    return exit_code(lambda: launch(read_arguments(argv)))


def launch(asked: Asked) -> int:
    """Run the script on workers of this machine; return its exit code, as a shell has it. Raises RequestError."""
    kept: list[deque[str]] = [deque(maxlen=KEPT) for _ in range(asked.workers)]
    with passed_on() as signals, contextlib.ExitStack() as stack:
        names = [addresses.hold_address(HOST) for _ in range(asked.workers)]
        stack.callback(addresses.release_addresses)
        ports = [one.fileno() for one in addresses.held] if asked.workers > 1 else [None]
        workers: list[Worker] = []
        for rank, environment in enumerate(environments(os.environ, names, cores_here(), gpus_here(os.environ))):
            show = shown_at_once(rank) if asked.all_output else kept[rank].append
            workers.append(Worker(rank, [str(int(asked.check)), *asked.script], environment, ports[rank], show))
            stack.callback(end, workers[rank])
        addresses.release_addresses()
        order = wait_for_all(workers, signals)
    if signals:
        return shell_code(workers[0].code)
    failed = cause([(worker.rank, worker.code) for worker in order if not worker.ended_here])
    if failed is None:
        return EXIT_FAILED if any(worker.code for worker in workers) else EXIT_DONE
    rank, code = failed
    if rank > 0 or code < 0:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else "failed"
        print(f"error: worker {rank} {how}\n{''.join(kept[rank])}".rstrip(), file=sys.stderr)
    return shell_code(code)


def shown_at_once(rank: int) -> Callable[[str], None]:
    """Return what shows a line with the worker's number."""

    def show(line: str) -> None:
        sys.stderr.write(f"[{rank}] {line}")
        sys.stderr.flush()

    return show


@contextlib.contextmanager
def passed_on() -> Iterator[list[tuple[int, float]]]:
    """Note the signals that come, and when, instead of ending; not those that this process was started to ignore."""
    signals: list[tuple[int, float]] = []
    before = {number: signal.getsignal(number) for number in PASSED_ON}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: signals.append((number, time.monotonic())))
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_for_all(workers: Sequence[Worker], signals: Sequence[tuple[int, float]]) -> list[Worker]:
    """Return the workers in the order of their ends. Pass signals on, and end those that would wait for others."""
    order: list[Worker] = []
    sent = 0
    while len(order) < len(workers):
        order += [worker for worker in workers if worker not in order and worker.look()]
        for number, _ in signals[sent:]:
            sent += 1
            for worker in workers:
                worker.send(number)
        failures = [worker.ended for worker in order if worker.code]
        if time.monotonic() > deadline(failures, workers[0].ended, [when for _, when in signals]):
            for worker in workers:
                end(worker)
        time.sleep(EVERY)
    return order


def deadline(failures: Sequence[float], end_of_chief: float, interrupts: Sequence[float]) -> float:
    """Return when the workers that are left are ended, from the times of what has happened."""
    if interrupts:
        return min(interrupts[0] + PATIENCE, end_of_chief + GRACE, *interrupts[1:2])
    return min(failures, default=math.inf) + GRACE


def end(worker: Worker) -> None:
    """End a worker that has not ended."""
    worker.ended_here |= worker.ended == math.inf
    worker.send(signal.SIGKILL)


def cause(ended: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Return the rank and code of the worker that failed first, in the order of ends; the chief's, where it failed too.

    A mistake of the script is one of all workers. A worker that fails because another is gone says so by its code.
    """
    failed = [(rank, code) for rank, code in ended if code not in (0, LOST)]
    return min(failed, key=lambda one: one[0] > 0, default=None)


def shell_code(code: int) -> int:
    """Return the exit code that a shell tells for a process."""
    return code if code >= 0 else 128 - code
