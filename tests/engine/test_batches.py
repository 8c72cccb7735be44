"""Which replicas have rows of a batch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.tf


@pytest.mark.parametrize(("size", "batch_size", "steps"), [(32, 16, 2), (33, 16, 3), (47, 16, 3), (5, 16, 1)])
def test_the_short_last_batch_is_a_step(size, batch_size, steps):
    from nn_train.engine.batches import steps_per_epoch

    data = SimpleNamespace(is_stream=False, train=SimpleNamespace(size=size))
    assert steps_per_epoch(data, batch_size) == steps
    stream = SimpleNamespace(is_stream=True, train=SimpleNamespace(cardinality=lambda: size))
    assert steps_per_epoch(stream, batch_size) == steps


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_a_replica_may_be_without_rows_exactly_where_one_has_none_of_the_last_batch(workers):
    from nn_train.engine.batches import may_be_without_rows
    from nn_train.engine.strategy import Replicas

    replicas = [Replicas(strategy=None, rank=rank, size=workers) for rank in range(workers)]
    for size in range(5, 30):
        for batch_size in range(5, 9):
            shares = [one.rows(size % batch_size or batch_size) for one in replicas]
            data = SimpleNamespace(is_stream=False, train=SimpleNamespace(size=size))
            empty = any(low == high for low, high in shares)
            assert may_be_without_rows(data, batch_size, replicas[0]) == empty, (size, batch_size)
    # How many examples a stream has is not known.
    assert may_be_without_rows(SimpleNamespace(is_stream=True), batch_size, replicas[0])
