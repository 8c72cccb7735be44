"""Which searches have processes that import TensorFlow in advance."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import user_data
from tiers import STARTS

from nn_train.config import Config, config_from_dict
from nn_train.search import search
from nn_train.search.first_processes import preload_for_trials

SPACE = {"optimizer.learning_rate": {"choice": [0.1, 0.2]}}


def make(search: dict[str, object], source: str = "mnist", **scaling: object) -> Config:
    sections = {"search": {"space": SPACE, **search}, "scaling": {"num_workers": 1, **scaling}}
    return config_from_dict({**sections, "data": {"source": source}})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (make({"num_trials": 7}), 7),
        (make({"num_trials": 7, "max_concurrent": 2}), 2),
        (make({}, num_workers=2), None),
        (make({}, use_gpu=True), None),
        (make({}, source="user_data:arrays"), None),
        (make({}, source="fashion_mnist"), None),
    ],
)
def test_trials_of_one_worker_need_tensorflow_where_they_start(config: Config, expected: int | None) -> None:
    preload = preload_for_trials(config)
    assert (preload and preload.workers) == expected


@pytest.mark.ray
def test_the_processes_that_are_started_in_advance_are_those_of_the_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    of_suite, of_test = Path(os.environ[STARTS]), tmp_path / "starts"
    monkeypatch.setenv(STARTS, str(of_test))
    (x_train, y_train), (x_test, y_test) = user_data.arrays()
    np.savez(tmp_path / "digits.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    sections = {
        "name": "s",
        "data": {"source": str(tmp_path / "digits.npz")},
        "train": {"epochs": 1, "batch_size": 16},
        "scaling": {"num_workers": 1},
        "run": {"storage_path": str(tmp_path)},
        "search": {"space": SPACE, "num_trials": 2, "max_concurrent": 1, "keep_best": 0},
    }
    search(config_from_dict(sections))
    with of_suite.open("a") as file:
        file.write(of_test.read_text())
    assert of_test.read_text().splitlines().count("tensorflow") == 1
