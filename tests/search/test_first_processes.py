"""Which searches have processes that import TensorFlow in advance."""

from __future__ import annotations

import pytest

from nn_train.config import Config, config_from_dict
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
