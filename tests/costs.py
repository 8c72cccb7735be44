"""What the tests cost, where the suite is, and what it could not run.

A plugin. While it runs there is a line a minute; at the end the slowest phases with their processor time, the processes
that were started, and the tests that a missing tool has left out, which is an error where ``CI`` is set.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from process_tree import cpu_seconds, tree_of
from tiers import TIERS, started

SHOWN = 20
SHOWN_OF_A_FAILURE = 1500  # letters, the last ones: the error and where it was raised
EVERY = 60.0  # seconds


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Processors() if hasattr(config, "workerinput") else Account(config))
    if not hasattr(config, "workerinput") and not config.getoption("numprocesses", None):
        config.pluginmanager.register(Processors())


class Processors:
    """Where tests run: notes the processor seconds of each phase, those of its processes with it.

    It looks once a second and after each phase: Ray ends processes of which no parent would know later what they used.
    """

    def __init__(self) -> None:
        self.seen: dict[int, float] = {}
        self.total = self.until_now = 0.0
        self.lock = threading.Lock()
        threading.Thread(target=self.keep_looking, daemon=True, name="costs").start()

    def keep_looking(self) -> None:
        while True:
            time.sleep(1.0)
            self.look()

    def look(self) -> float:
        """The processor seconds until now."""
        with self.lock:
            seen = cpu_seconds(tree_of(os.getpid()))
            self.total += sum(max(0.0, seconds - self.seen.get(pid, 0.0)) for pid, seconds in seen.items())
            self.seen = seen
            return self.total

    def pytest_collection_finish(self) -> None:
        self.until_now = self.look()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        report = yield
        now = self.look()
        report.cpu_seconds, self.until_now = now - self.until_now, now
        return report


class Account:
    """Where the results come together."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.began = self.printed = time.monotonic()
        self.phases: list[tuple[float, float, str]] = []  # wall seconds, processor seconds, what
        self.running: dict[str, float] = {}
        self.left_out: dict[str, int] = defaultdict(int)
        self.ended = 0

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.running[nodeid] = time.monotonic()

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.phases.append((report.duration, getattr(report, "cpu_seconds", 0.0), f"{report.when:8} {report.nodeid}"))
        if report.skipped and not hasattr(report, "wasxfail"):
            self.left_out[report.longrepr[2].removeprefix("Skipped: ")] += 1
        if report.failed:  # with several lanes pytest shows it at the end
            self.write(f"\nfailed: {report.nodeid}\n{str(report.longrepr)[-SHOWN_OF_A_FAILURE:]}\n")
        if report.when in ("teardown", "???"):  # the latter where a lane's process was brought down
            self.running.pop(report.nodeid, None)
            self.ended += 1
        if time.monotonic() > self.printed + EVERY:
            self.tell()

    def tell(self) -> None:
        """A line: how far it is, and what the lanes are at."""
        self.printed = now = time.monotonic()
        # A lane starts a file's next test at once: what began last is what runs.
        at = ", ".join(f"{name} ({now - since:.0f} s)" for name, since in list(self.running.items())[-2:])
        self.write(f"\n{(now - self.began) / 60:.0f} min, {self.ended} tests ended; now {at}\n")

    def write(self, text: str) -> None:
        self.config.pluginmanager.get_plugin("terminalreporter").write(text)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.config.getoption("tier"):
            self.config.cache.set(f"costs/{self.config.getoption('tier')}", self.phases)  # all of them, for who asks
        if self.faults() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def faults(self) -> list[str]:
        """What is wrong with the run as a whole."""
        said = []
        if os.environ.get("CI") and self.left_out:
            said.append("CI is set: nothing may be left out")
        if tier := TIERS.get(self.config.getoption("tier")):
            for what, budget in (("ray worker", tier.ray_workers), ("tensorflow", tier.tensorflow)):
                if what == "ray worker" and (os.cpu_count() or 0) > 2:
                    continue  # Ray starts one for each CPU in advance
                if started()[what] > budget:
                    said.append(f"more processes than tests/tiers.py allows: {what} {started()[what]}, not {budget}")
        return said

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("costs")
        for wall, cpu, what in sorted(self.phases, reverse=True)[:SHOWN]:
            terminalreporter.write_line(f"{wall:6.1f} s, {cpu:6.1f} s of a processor  {what}")
        minutes, cpu = (time.monotonic() - self.began) / 60, sum(phase[1] for phase in self.phases) / 60
        terminalreporter.write_line(f"in all {minutes:.1f} min, {cpu:.1f} min of a processor")
        counts = started()
        terminalreporter.write_line(
            f"processes started: {counts['ray worker']} workers of Ray, {counts['tensorflow']} that import TensorFlow"
        )
        for reason, count in self.left_out.items():
            terminalreporter.write_line(f"not run: {count} tests: {reason}", yellow=True)
        if terminalreporter.config.getoption("tier") == "long" and not os.environ.get("NN_TRAIN_KERAS"):
            terminalreporter.write_line("not run: Keras' own tests: NN_TRAIN_KERAS names no checkout of Keras")
        for fault in self.faults():
            terminalreporter.write_line(f"error: {fault}", red=True)
