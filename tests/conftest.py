"""What several test modules share: the outcomes of the scenarios, run once for each world size."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import run_workers

SCENARIOS = Path(__file__).parent / "scenarios.py"
TIMES = ("seconds", "samples_per_second", "world_size")


@dataclass(frozen=True)
class Outcome:
    """The files that one world size left."""

    folder: Path
    size: int

    def history(self, run: str) -> list[dict[str, Any]]:
        """The rows of ``metrics.jsonl``, times and world size aside."""
        lines = (self.folder / run / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]

    def variables(self, run: str) -> list[np.ndarray]:
        """Weights, optimizer state and seeds after the last epoch."""
        newest = max((self.folder / run / "checkpoints").iterdir())
        from nn_train.checkpoints import unpack

        return unpack(newest.read_bytes()).variables

    def described(self) -> list[dict[str, Any]]:
        """What each worker said of itself."""
        return [json.loads((self.folder / f"describe-{rank}.json").read_text()) for rank in range(self.size)]


@pytest.fixture(scope="session")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Outcome]:
    """``outcome(size)``: all scenarios on ``size`` real workers, run when first asked for."""
    made: dict[int, Outcome] = {}

    def get(size: int) -> Outcome:
        if size not in made:
            folder = tmp_path_factory.mktemp(f"workers-{size}")
            run_workers(size, folder, SCENARIOS)
            made[size] = Outcome(folder, size)
        return made[size]

    return get


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """One Ray for a module, whose workers find ``user_code``."""
    from nn_train.training.cluster import ray_session

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        with ray_session(verbose=False):
            yield
