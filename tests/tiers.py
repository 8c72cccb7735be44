"""The tiers of the suite: ``pytest --tier NAME`` runs one of them, and says whether it ran whole.

A plugin. Files share two lanes (pytest-xdist): those that start a Ray go first, so that what needs milliseconds fills
the ends. A tier fails when it starts more processes than its budget: the minutes of a suite are mostly those.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).parent
STARTS = "NN_TRAIN_TESTS_STARTS"  # the file in which sitecustomize.py notes what was started


@dataclass(frozen=True)
class Tier:
    """What is run, and how many processes it may start: of Ray's workers, and such that import TensorFlow."""

    marks: str
    ray_workers: int
    tensorflow: int


TIERS = {
    "quick": Tier("not (tf or dist or ray or e2e or browser or long or launch)", ray_workers=0, tensorflow=0),
    "test": Tier("not (long or launch)", ray_workers=124, tensorflow=103),
    "long": Tier("long and not launch", ray_workers=645, tensorflow=345),
    "launch": Tier("launch", ray_workers=100, tensorflow=100),
}


def of_newer_keras() -> Any:
    """A mark of what Keras 3.12 does not have yet, which Python 3.10 gets."""
    older = tuple(int(part) for part in version("keras").split(".")[:2]) < (3, 14)
    return pytest.mark.skipif(older, reason="this Keras does not have it")


def long(*values: Any) -> Any:
    """A set of parameters that is left to the long tier."""
    return pytest.param(*values, marks=pytest.mark.long)


SLOW_FIRST = ("ray", "e2e", "dist", "tf", "browser")
# These files ask for the same scenarios (conftest.py), which one lane runs once.
SCENARIOS = {f"tests/runs/test_{name}.py" for name in ("callbacks", "checkpoints")}
SCENARIOS |= {f"tests/engine/test_{name}.py" for name in ("collectives", "indexed", "loop")}
TWO_NODES = "tests/training/two_nodes/"  # and these for the same Ray
# Of the long tier, by minutes.
LONGEST = (
    TWO_NODES,
    "tests/search/test_search_on_ray.py",
    "tests/test_readme.py",
    "tests/test_gpu_check.py",
    "tests/storage/test_s3_jobs.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tier", choices=list(TIERS), help="the tests of one tier, within its budget of processes")


def pytest_configure(config: pytest.Config) -> None:
    if tier := config.getoption("tier"):
        given = config.option.markexpr
        config.option.markexpr = f"({TIERS[tier].marks}) and ({given})" if given else TIERS[tier].marks
    if hasattr(config, "workerinput"):
        return
    # Processes of the tests find sitecustomize.py, and count themselves.
    descriptor, os.environ[STARTS] = tempfile.mkstemp(prefix="starts-")
    os.close(descriptor)
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    # Else Ray's workers, which are nice by default, get nothing beside a lane that computes, and count as hung.
    os.environ.setdefault("RAY_worker_niceness", "0")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        Path(os.environ[STARTS]).unlink(missing_ok=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> tuple[int, int]:
        """What takes a lane longest begins first, so that the lanes end together."""
        longest = next((at for at, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))
        mark = next((at for at, mark in enumerate(SLOW_FIRST) if item.get_closest_marker(mark)), 9)
        return longest, mark

    items.sort(key=place)


class Lanes(LoadScopeScheduling):
    """A file is run by one lane: its fixtures, such as a Ray, are made once.

    A test that brought its lane's process down is not tried again, unlike with pytest-xdist's own scheduler.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith(TWO_NODES):
            return TWO_NODES
        return "scenarios" if file in SCENARIOS else file

    def remove_node(self, node: Any) -> str | None:
        work = self.assigned_work.pop(node)
        left = [(unit, nodeid) for unit in work.values() for nodeid, ended in unit.items() if not ended]
        if not left:
            return None
        unit, crashed = left[0]
        unit[crashed] = True
        self.workqueue.update({scope: unit for scope, unit in work.items() if not all(unit.values())})
        for other in self.assigned_work:
            self._reschedule(other)
        return crashed


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    return Lanes(config, log)


def started() -> Counter[str]:
    """How many processes of each kind the tests have started until now."""
    return Counter(Path(os.environ[STARTS]).read_text().splitlines())
