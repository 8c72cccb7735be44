"""What several test modules share: the outcomes of the scenarios, each run once for a world size; the wheel."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import WorkerGroup

collect_ignore = [] if sys.version_info >= (3, 11) else ["datasets/test_grain.py"]  # which Grain needs
pytest_plugins = ["tiers", "time_limit", "costs"]
ROOT = Path(__file__).parents[1]
SCENARIOS = Path(__file__).parent / "scenarios.py"
TIMES = ("seconds", "samples_per_second", "world_size")


@dataclass(frozen=True)
class Outcome:
    """What one world size makes of the scenarios; each is run when first asked for."""

    group: WorkerGroup

    def folder(self, run: str) -> Path:
        """The folder of a run."""
        self.group.ensure(run)
        return self.group.out / run

    def history(self, run: str) -> list[dict[str, Any]]:
        """The rows of ``metrics.jsonl``, times and world size aside."""
        lines = (self.folder(run) / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]

    def variables(self, run: str) -> list[np.ndarray]:
        """Weights, optimizer state and seeds after the last epoch."""
        newest = max((self.folder(run) / "checkpoints").iterdir())
        from nn_train.runs.checkpoints import unpack

        return unpack(newest.read_bytes()).variables

    def returned(self, task: str) -> list[Any]:
        """What each worker wrote down besides."""
        self.group.ensure(task)
        files = [self.group.out / f"{task}-{rank}.json" for rank in range(len(self.group.processes))]
        return [json.loads(file.read_text()) for file in files]


@pytest.fixture(scope="session")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Outcome]]:
    """``outcome(size)``: the scenarios on ``size`` real workers."""
    made: dict[int, Outcome] = {}

    def get(size: int) -> Outcome:
        if size not in made:
            made[size] = Outcome(WorkerGroup(size, tmp_path_factory.mktemp(f"workers-{size}"), SCENARIOS))
        return made[size]

    yield get
    for one in made.values():
        one.group.end()


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """One Ray for a module, whose workers find ``user_code``."""
    from nn_train.ray_cluster.session import ray_session

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        with ray_session(verbose=False):
            yield


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what the repository's folders hold; building leaves nothing in them."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("nn_train", "jobs", "cluster"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(folder))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment with the wheel; what it needs is taken from the one that runs the tests."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    pip(sys.executable, "--python", str(place / "bin" / "python"), "install", "--no-deps", str(wheel))
    (packages,) = place.glob("lib/python*/site-packages")
    # A path that is added so is not looked through for the links of editable installations.
    (packages / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return place / "bin"


def pip(python: str, *words: str) -> None:
    done = subprocess.run([python, "-m", "pip", "--quiet", *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
