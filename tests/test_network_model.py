"""The formula of docs/scaling.md for what the network costs a step."""

from __future__ import annotations

import pytest

from benchmarks.network_model import (
    LARGEST_EXCHANGE,
    Network,
    Point,
    Terms,
    exchange_seconds,
    fit,
    largest_gradients,
    predicted,
)

TERMS = Terms(per_message=1e-3, per_byte=5e-10)


def network(workers: int, bandwidth: float = 1.25e8) -> Network:  # by default 1 Gbit/s
    return Network(workers, bandwidth, one_way=2e-4)


@pytest.mark.parametrize(
    ("workers", "size", "seconds"),
    [
        (2, 1e6, 1.2e-3 + 1e6 * 8.5e-9),
        (2, 2e6, 2 * 1.2e-3 + 2e6 * 8.5e-9),
        (3, 1e6, 4 * 1.2e-3 + 4 / 3 * 1e6 * 8.5e-9),
        (8, 1e6, 14 * 1.2e-3 + 1.75 * 1e6 * 8.5e-9),
    ],
)
def test_messages_follow_each_other_and_bytes_grow_to_twice_the_gradients(workers, size, seconds):
    assert exchange_seconds(TERMS, network(workers), size) == pytest.approx(seconds)


def test_the_terms_are_found_again():
    points = [
        Point(place, compute + exchange_seconds(TERMS, place, size), compute, size)
        for compute, size in ((1e-3, 400_000), (5e-2, 900_000), (5e-2, 9_000_000))
        for place in (network(2), network(2, bandwidth=1.25e9), network(3), network(4))
    ]
    found = fit(points)
    assert (found.per_message, found.per_byte) == pytest.approx((1e-3, 5e-10))
    assert [predicted(found, point) for point in points] == pytest.approx([point.step for point in points])


@pytest.mark.parametrize("compute", [0.05, 1.0])
@pytest.mark.parametrize("workers", [2, 3])
def test_the_largest_gradients_cost_what_is_left_for_them(workers, compute):
    size = largest_gradients(TERMS, network(workers), compute, efficiency=0.9)
    assert compute / (compute + exchange_seconds(TERMS, network(workers), size)) == pytest.approx(0.9)
    assert largest_gradients(TERMS, network(workers), 1e-3, efficiency=0.9) == 0


def test_two_workers_whose_ring_has_no_time_left_exchange_what_one_message_carries():
    one_message = 9 * exchange_seconds(TERMS, network(2), LARGEST_EXCHANGE)
    assert largest_gradients(TERMS, network(2), one_message, 0.9) == pytest.approx(LARGEST_EXCHANGE)
    assert largest_gradients(TERMS, network(2), one_message + 1e-3, 0.9) == LARGEST_EXCHANGE
