"""What the processes of a local Ray import before they are given work, and how many of them are started in advance.

They import while the driver is not ready to ask for workers, which saves a short job of two workers a second of eleven.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

import nn_train
from nn_train.config.schema import ScalingConfig

TENSORFLOW = "nn_train.engine.import_now"


@dataclass(frozen=True)
class Preload:
    """Attributes:
    workers: that will be asked for, at most.
    cpus_per_worker: of each.
    module: that they need besides TensorFlow.
    """

    workers: int
    cpus_per_worker: float
    module: str

    @property
    def modules(self) -> str:
        """As Ray's ``RAY_preload_python_modules``."""
        return f"{TENSORFLOW},{self.module}"

    def in_advance(self, cpus: int) -> int:
        """How many processes a Ray of ``cpus`` CPUs starts; by itself it starts one for each CPU."""
        return max(1, min(self.workers, int(cpus / max(1, self.cpus_per_worker))))


def preload_for(scaling: ScalingConfig, workers: int, module: str) -> Preload | None:
    """None for workers on GPUs: what TensorFlow sees of them is set when they get work."""
    return None if scaling.use_gpu else Preload(workers, scaling.cpus_per_worker, module)


def finds_this_package() -> bool:
    """Whether a Python that Ray starts finds this very ``nn_train`` before it gets the driver's path with its work.

    Where it does not, as of a clone that is only the working directory, it would keep another copy, or finds none.
    """
    standard = sysconfig.get_path("stdlib")
    if standard not in sys.path:
        return False
    given = os.environ.get("PYTHONPATH")
    first = [entry or os.getcwd() for entry in given.split(os.pathsep)] if given else []
    spec = PathFinder.find_spec("nn_train", [*first, *sys.path[sys.path.index(standard) :]])
    return spec is not None and spec.origin is not None and Path(spec.origin).samefile(nn_train.__file__)
