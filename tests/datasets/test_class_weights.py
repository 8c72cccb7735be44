"""Weights of the training examples by their class: by label or name, times those of the source."""

from __future__ import annotations

import numpy as np
import pytest

from nn_train.config import config_from_dict
from nn_train.datasets import Examples, SplitData
from nn_train.datasets.class_weights import with_class_weights
from nn_train.errors import RequestError


def data(**changes):
    x, y = np.zeros((5, 2), np.float32), np.array([0, 1, 2, 1, 0])
    parts = {"train": Examples(x=x, y=y), "validation": Examples(x=x, y=y), "test": None}
    return SplitData(**{**parts, "num_classes": 3, **changes})


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        ({"1": 4.0}, [1, 4, 1, 4, 1]),
        ({"0": 0, "2": 0.5}, [0, 1, 0.5, 1, 0]),
        ({"cat": 2.0, "0": 3.0}, [3, 2, 1, 2, 3]),
    ],
)
def test_they_count_by_the_class(given, weights):
    weighted = with_class_weights(data(class_names=("bird", "cat", "dog")), given)
    np.testing.assert_array_equal(weighted.train.weight, np.array(weights, np.float32))
    assert weighted.validation.weight is None


def test_they_multiply_the_weights_of_the_source():
    own = np.array([1, 2, 3, 4, 5], np.float32)
    given = data(train=Examples(x=np.zeros((5, 2)), y=np.array([0, 1, 2, 1, 0]), weight=own))
    np.testing.assert_array_equal(with_class_weights(given, {"1": 10}).train.weight, [1, 20, 3, 40, 5])


def test_without_any_the_data_are_what_they_were():
    assert with_class_weights(given := data(), {}) is given


@pytest.mark.parametrize(
    ("changes", "label", "said"),
    [
        ({}, "3", "no class '3'; there are 0, 1, 2"),
        ({"class_names": ("bird", "cat", "dog")}, "birt", "no class 'birt'; did you mean 'bird'"),
        ({"num_classes": 2, "class_names": ("no", "yes")}, "True", "no class 'True'; there are no, yes; YAML reads"),
        ({"num_classes": None}, "0", "needs class labels; a stream"),
        ({"train": iter(())}, "0", "needs class labels; a stream"),
    ],
)
def test_what_is_no_class_is_refused(changes, label, said):
    with pytest.raises(RequestError, match=f"^train.class_weight: {said}"):
        with_class_weights(data(**changes), {label: 2.0})


def test_a_class_is_named_once():
    with pytest.raises(RequestError, match="0, bird name a class twice"):
        with_class_weights(data(class_names=("bird", "cat", "dog")), {"0": 2.0, "bird": 3.0})


def test_a_job_file_gives_labels_as_numbers():
    config = config_from_dict({"train": {"class_weight": {0: "1e-1", "cat": 2.5}}})
    assert config.train.class_weight == {"0": 0.1, "cat": 2.5}
    hash(config.train)


@pytest.mark.parametrize("weight", [-1, float("nan"), "much", True, None])
def test_a_weight_is_a_number_of_at_least_0(weight):
    with pytest.raises(RequestError, match=r"train.class_weight: 0: .* is not a number of at least 0"):
        config_from_dict({"train": {"class_weight": {0: weight}}})
