"""What replicas have counted, when an epoch goes on with more or fewer of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytestmark = pytest.mark.tf


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("before", [1, 2, 3])
def test_nothing_that_was_counted_is_lost(monkeypatch, before, size):
    from nn_train.engine import metric_state
    from nn_train.engine.strategy import Replicas

    put = []
    monkeypatch.setattr(metric_state, "put", lambda variables, values: put.append(values))
    counted = np.arange(3.0 * before).reshape(before, 3)
    for rank in range(size):
        there = object.__new__(metric_state.MetricState)
        there.model, there.same_on_all = SimpleNamespace(metrics_variables=[]), False
        there.replicas = Replicas(strategy=None, rank=rank, size=size)
        there.put(counted)
    np.testing.assert_array_equal(np.sum(put, axis=0), counted.sum(axis=0))
    if size == before:
        np.testing.assert_array_equal(put, counted)
