"""No test runs for ever: after its limit the stacks of all its processes are shown, it has failed, and others go on.

A plugin. Each of a test's three phases has the limit: what it prepares, what it does, what it tidies up.
``@pytest.mark.limit(seconds)`` gives another. Where Python itself cannot be interrupted, in a call of C's that does not
return, the process is ended half a minute later, and pytest-xdist takes another for the tests that are left.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator

import pytest
from process_tree import stacks, tree_of

LIMIT = 240.0  # seconds, ten times what the slowest takes; a busy machine is no fault
THEN = 90.0  # seconds until the process is ended that cannot be interrupted: dumping takes a while
shown = ""


class TimeLimitError(BaseException):
    """Not an Exception: the code under test must not catch it."""


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGUSR2, fail)


def fail(number: int, frame: object) -> None:
    raise TimeLimitError(shown)


def interrupt(seconds: float) -> None:
    """In another thread: look first, since the tests' clean-up ends the processes."""
    global shown
    shown = f"it has not ended within {seconds:g} s\n{stacks(tree_of(os.getpid()))}"
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR2)


def limited(item: pytest.Item) -> Iterator[None]:
    mark = item.get_closest_marker("limit")
    seconds = mark.args[0] if mark else LIMIT
    timer = threading.Timer(seconds, interrupt, args=(seconds,))
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + THEN, exit=True, file=sys.__stderr__)
    try:
        return (yield)
    finally:
        timer.cancel()
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
