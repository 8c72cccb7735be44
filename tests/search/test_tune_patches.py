"""What a search replaces in Ray Tune."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import user_data
from ray.tune import registry
from ray.tune.execution import tune_controller
from tiers import STARTS

from nn_train.config import config_from_dict
from nn_train.search import search
from nn_train.search.tune_patches import patched_tune


def test_all_is_as_before_after_a_search():
    known = registry._global_registry
    name = (registry.TRAINABLE_CLASS, "of a test")
    for value in ("first", "second"):
        known._to_flush[name] = registry.pickle.dumps([value])
        with patched_tune(is_local=True, num_workers=1):
            assert known.get(*name) is known.get(*name)
            assert known.get(*name) == [value]
    known.unregister(*name)
    assert tune_controller.PlacementGroupResourceManager.__name__ == "PlacementGroupResourceManager"
    assert tune_controller._ActorClassCache.__name__ == "_ActorClassCache"


@pytest.mark.ray
def test_the_processes_of_trials_are_forks_of_one_that_has_imported_tensorflow(
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
        "search": {"space": {"model.l2": {"choice": [0.1, 0.2]}}, "num_trials": 2, "max_concurrent": 1, "keep_best": 0},
    }
    search(config_from_dict(sections))
    with of_suite.open("a") as file:
        file.write(of_test.read_text())
    assert of_test.read_text().splitlines().count("tensorflow") == 1
