"""No test runs for ever: after its limit the stacks of all its processes are shown, it has failed, and others go on.

A plugin. Each of a test's three phases has the limit: what it prepares, what it does, what it tidies up.
``@pytest.mark.limit(seconds)`` gives another. Where Python itself cannot be interrupted, in a call of C's that does not
return, the process is ended a minute and a half later, and pytest-xdist takes another for the tests that are left.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from collections.abc import Iterator

import pytest
from process_tree import stacks, tree_of

LIMIT = 240.0  # seconds, ten times what the slowest takes; a busy machine is no fault
THEN = 90.0  # seconds until the process is ended that cannot be interrupted: looking at the stacks takes a while
shown, stderr = "", 2


class TimeLimitError(BaseException):
    """Not an Exception: the code under test must not catch it."""


def pytest_configure(config: pytest.Config) -> None:
    global stderr
    stderr = os.dup(2)  # pytest will put a file in its place
    signal.signal(signal.SIGUSR2, fail)


def fail(number: int, frame: object) -> None:
    raise TimeLimitError(shown)


def interrupt(seconds: float, ended: threading.Event) -> None:
    """In another thread: look first, since the tests' clean-up ends the processes."""
    global shown
    shown = f"it has not ended within {seconds:g} s\n"
    try:
        shown += stacks(tree_of(os.getpid()))
    finally:
        if not ended.is_set():
            os.write(stderr, shown.encode())  # where the process cannot be interrupted nothing else would tell
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR2)


def limited(item: pytest.Item) -> Iterator[None]:
    mark = item.get_closest_marker("limit")
    seconds = mark.args[0] if mark else LIMIT
    ended = threading.Event()
    timer = threading.Timer(seconds, interrupt, args=(seconds, ended))
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + THEN, exit=True, file=stderr)
    try:
        return (yield)
    finally:
        ended.set()
        timer.cancel()
        timer.join()  # it may be looking at stacks already; the next test must not be interrupted for this one
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    return (yield from limited(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    return (yield from limited(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    return (yield from limited(item))
