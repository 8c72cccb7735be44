"""``data.augment``: what is drawn for an example depends on seed, epoch and example alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import user_data

from nn_train.config import config_from_dict
from nn_train.datasets import Examples, IndexedExamples, SplitData
from nn_train.datasets.augmentation import ArrayRows, with_augmentation
from nn_train.errors import RequestError


def augmented(name="user_data:jitter", examples=None):
    (x, y), _ = user_data.arrays()
    data = SplitData(train=examples or Examples(x, y), validation="as it is", test=None)
    return with_augmentation(data, name)


def drawn(seed=3, epoch=0, index=range(101), examples=None):
    """The inputs of some training examples."""
    return augmented(examples=examples).train.take(np.array(index), (seed, epoch)).x


def test_an_example_is_changed_alike_whoever_takes_it():
    whole = drawn()
    (x, y), _ = user_data.arrays()
    assert whole.shape == x.shape
    assert whole.dtype == x.dtype
    assert (whole != x).all()
    order = np.random.default_rng(0).permutation(101)
    for part in np.array_split(order, 3):  # as three workers have them
        np.testing.assert_array_equal(drawn(index=part), whole[part])
    indexed = IndexedExamples(ArrayRows(Examples(x, y)))
    np.testing.assert_array_equal(drawn(examples=indexed), whole)


@pytest.mark.parametrize("other", [{"seed": 4}, {"epoch": 1}], ids=str)
def test_another_seed_or_epoch_draws_anew(other):
    assert (drawn(**other) != drawn()).all()
    assert len({*drawn(index=[1, 1])[:, 0]}) == 1


def test_only_training_examples_are_changed_and_weights_and_targets_stay_with_them():
    (x, y), _ = user_data.arrays()
    data, index = augmented(examples=Examples(x, y, weight=x[:, 0] ** 2)), np.array([7, 2])
    assert data.validation == "as it is"
    np.testing.assert_array_equal(data.train.take(np.arange(9)).x, x[:9])  # what a model is built for
    taken = data.train.take(index, (1, 0))
    np.testing.assert_array_equal(taken.y, y[index])
    np.testing.assert_array_equal(taken.weight, x[index, 0] ** 2)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("user_data:nothing_so_called", r"^data\.augment: .*user_data\.py has no function 'nothing_so_called'"),
        ("user_data:arrays", r"^data\.augment: user_data:arrays must take \(x, y, generator\)"),
    ],
)
def test_what_is_no_augmentation_is_refused(name, said):
    with pytest.raises(RequestError, match=said):
        augmented(name)


@pytest.mark.parametrize("given", [lambda x, y: (x[:2], y), lambda x, y: (x.astype(float), y), lambda x, y: x])
def test_what_gives_another_form_is_refused_with_the_example(monkeypatch, given):
    monkeypatch.setattr(user_data, "jitter", lambda x, y, generator: given(x, y))
    with pytest.raises(RequestError, match=r"^data\.augment: user_data:jitter made .* of example 5, expected \(x, y\)"):
        drawn(index=[5])


def test_a_stream_and_what_is_no_name_are_refused():
    stream = SplitData(train=SimpleNamespace(element_spec=0), validation=None, test=None)
    with pytest.raises(RequestError, match=r"^data\.augment: the examples of a stream have no numbers"):
        with_augmentation(stream, "user_data:jitter")
    with pytest.raises(RequestError, match=r"^data\.augment: 'flip' is not known; allowed: module:function"):
        config_from_dict({"data": {"augment": "flip"}})
    assert with_augmentation(stream, None) is stream
