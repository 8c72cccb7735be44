"""The order of an epoch: a permutation of any size, that needs no list of the examples where they are many."""

from __future__ import annotations

import numpy as np
import pytest

from nn_train.engine import order as module
from nn_train.engine.order import LISTED, Order


def test_up_to_the_limit_it_is_the_permutation_of_numpy():
    order = Order(seed=3, epoch=2, size=1000)
    expected = np.random.default_rng((3, 2)).permutation(1000)
    np.testing.assert_array_equal(order.all(), expected)
    np.testing.assert_array_equal(order.rows(100, 350), expected[100:350])
    assert Order(seed=3, epoch=2, size=LISTED).listed is not None
    assert Order(seed=3, epoch=2, size=LISTED + 1).listed is None


@pytest.mark.parametrize("size", sorted({max(1, 2**power + more) for power in range(13) for more in (-1, 0, 1)}))
def test_a_computed_order_holds_every_example_once(monkeypatch, size):
    monkeypatch.setattr(module, "LISTED", 0)
    found = Order(seed=1, epoch=0, size=size).all()
    assert sorted(found.tolist()) == list(range(size))


def test_a_computed_order_is_the_same_however_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(module, "PART", 2**18)
    order = Order(seed=1, epoch=0, size=LISTED + 3)
    whole = order.all()
    assert np.bincount(whole, minlength=order.size).max() == 1
    np.testing.assert_array_equal(order.rows(LISTED - 5, LISTED + 3), whole[-8:])


def test_a_computed_order_differs_by_seed_and_epoch_and_looks_random():
    size = LISTED + 1
    orders = [Order(seed, epoch, size).rows(0, 50_000) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for place, one in enumerate(orders):
        assert all((one == other).mean() < 1e-3 for other in orders[place + 1 :])
        counts = np.histogram(one, bins=50, range=(0, size))[0]
        assert ((counts - 1000) ** 2 / 1000).sum() < 100  # chi-squared of 49 degrees: 100 is beyond 1 in 10,000
        assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.02
        assert len(np.unique(np.diff(one))) > 45_000


def test_a_billion_examples_need_no_memory_but_that_of_a_batch():
    order = Order(seed=0, epoch=5, size=10**9)
    found = order.rows(10**9 - 512, 10**9)
    assert len(np.unique(found)) == 512
    assert 0 <= found.min() <= found.max() < 10**9
    assert sum(value.nbytes for value in vars(order).values() if isinstance(value, np.ndarray)) < 100


def test_a_run_of_another_version_resumes_in_the_order_that_it_began_with():
    orders = [Order(seed=1, epoch=0, size=10**7), Order(seed=3, epoch=2, size=2**33)]
    assert orders[0].rows(0, 5).tolist() == [1760467, 3737746, 2804534, 3111125, 1445400]
    assert orders[1].rows(0, 3).tolist() == [902365618, 3794388445, 3547519744]
