"""How a job ends that is given wrong input: code 0, or code 2 and one line. Anything else is a fault."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from nn_train.config import config_from_dict, dump_yaml
from nn_train.config.cli import Arguments, run_job
from nn_train.config.parse import STAGES, parse_yaml

LONGEST = 5.0  # seconds of a processor; a case takes a hundredth of one
WAITS = 60.0  # seconds, for cases that wait for something
WIDEST = 3000  # letters of a message: a name is repeated, a file is not


class TooLong(BaseException):
    """The case took longer than ``LONGEST``; nothing in between catches it."""


def quarters(cases: int) -> list[Any]:
    """The numbers of the cases in four parts, of which three are left to the long runs."""
    marks = ([], *[pytest.mark.long] * 3)
    return [pytest.param(range(at, cases, 4), id=f"{at + 1} of 4", marks=marks[at]) for at in range(4)]


def train(arguments: Arguments) -> int:
    """What jobs.train does until Ray starts."""
    from nn_train.runs.preflight import check_early

    check_written(arguments)
    check_early(arguments.config)
    return 0


def tune(arguments: Arguments) -> int:
    """What jobs.tune does until it looks at its folder."""
    from nn_train.search.driver import check_search

    check_search(arguments.config)
    return train(arguments)


def pipeline(arguments: Arguments) -> int:
    """What jobs.pipeline checks of its stages."""
    from nn_train.pipeline.stages import model_stages
    from nn_train.runs.preflight import check_early
    from nn_train.search.driver import check_search

    check_written(arguments)
    for stages in model_stages(arguments.config, arguments.overrides, "quick" in arguments.flags):
        check_early(stages.base)
        if stages.search is not None:
            check_search(stages.search)
    return 0


JOBS = {  # what a command line is given to
    "train": functools.partial(run_job, "Job", job=train),
    "tune": functools.partial(run_job, "Job", job=tune, stages=("search",), flags={"dry_run": ""}),
    "pipeline": functools.partial(run_job, "Job", job=pipeline, stages=STAGES, flags={"quick": ""}),
}
TRAINING = ("train", "tune", "pipeline")


def check_written(arguments: Arguments) -> None:
    """What is accepted can be written into the run's folder and read again."""
    text = dump_yaml(arguments.config, stages=STAGES)
    again = config_from_dict(parse_yaml(text.encode().decode(), "config.yaml"))
    assert dump_yaml(again, stages=STAGES) == text


class Tally:
    """How several cases ended.

    Args:
        refused: what each must be refused with (a pattern); empty where it may also be taken.
    """

    def __init__(self, refused: str = "") -> None:
        self.refused, self.taken, self.faults = refused, 0, list[str]()

    def add(self, case: object, job: str, words: Sequence[str]) -> Tally:
        """Run one case; ``case`` says how to make it again."""
        code, message = ending(job, words)
        self.taken += code == 0
        problem = fault(code, message)
        if not problem and not re.search(self.refused, message):
            problem = f"code {code}: {message!r}, expected {self.refused!r}"
        if problem:
            self.faults.append(f"{case}\n{problem}")
        return self

    def check(self) -> None:
        """Fail with the first faults, if there are any."""
        assert not self.faults, "\n\n".join([f"{len(self.faults)} faults; the first:", *self.faults[:5]])


def ending(job: str, words: Sequence[str]) -> tuple[int | None, str]:
    """The exit code and what stands on stderr; None and the traceback where there is one."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()), time_limit(), warned():
            return JOBS[job](argv=words), errors.getvalue()
    except (Exception, TooLong):
        return None, traceback.format_exc(limit=-4)


def fault(code: int | None, message: str) -> str:
    """What is wrong with an end; empty when nothing is."""
    if code is None:
        return message
    if code == 0:
        return f"code 0, but told: {message[:300]!r}" if message else ""
    if code != 2:
        return f"code {code}: {message[:300]!r}"
    line = message.removesuffix("\n")
    if not line.startswith("error: ") or not line.isprintable() or len(line) > WIDEST:
        return f"not one short line of plain text, {len(line)} letters: {line[:300]!r}"
    return ""


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """TooLong after ``LONGEST`` seconds of a processor, or of sleep, and after ``WAITS`` in all.

    A busy machine is no fault.
    """
    slept, sleep = 0.0, time.sleep

    def stop(number: int, frame: object) -> None:
        raise TooLong(f"not done after {LONGEST} s of a processor, or {WAITS} s")

    def count(seconds: float) -> None:
        nonlocal slept
        if threading.current_thread() is not threading.main_thread():
            return sleep(seconds)
        slept += seconds  # nobody waits for it
        if slept > LONGEST:
            raise TooLong(f"it sleeps for more than {LONGEST} s")

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, LONGEST), signal.SIGALRM: (signal.ITIMER_REAL, WAITS)}
    before = {number: signal.signal(number, stop) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    time.sleep = count
    try:
        yield
    finally:
        time.sleep = sleep
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@contextlib.contextmanager
def warned() -> Iterator[None]:
    """Warnings are shown as in a process of their own: on stderr, where only the message belongs."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # Python shows none of a library
        yield
