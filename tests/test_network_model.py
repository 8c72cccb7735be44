"""The formula of docs/scaling.md for what the network costs a step."""

from __future__ import annotations

import pytest

from benchmarks.network_model import Point, Terms, exchange_seconds, fit, largest_gradients, predicted

TERMS = Terms(per_message=1e-3, per_byte=5e-10)
LINK = {"bandwidth": 1.25e8, "one_way": 2e-4}  # 1 Gbit/s


@pytest.mark.parametrize(
    ("workers", "seconds"),
    [(2, 1.2e-3 + 1e6 * 8.5e-9), (3, 4 * 1.2e-3 + 4 / 3 * 1e6 * 8.5e-9), (8, 14 * 1.2e-3 + 1.75 * 1e6 * 8.5e-9)],
)
def test_messages_follow_each_other_and_bytes_grow_to_twice_the_gradients(workers, seconds):
    assert exchange_seconds(TERMS, workers, 1e6, **LINK) == pytest.approx(seconds)


def test_the_terms_are_found_again():
    points = [
        Point(compute + exchange_seconds(TERMS, 2, size, bandwidth, 2e-4), compute, size, bandwidth, 2e-4)
        for compute, size in ((1e-3, 400_000), (5e-2, 900_000), (5e-2, 9_000_000))
        for bandwidth in (1.25e8, 1.25e9)
    ]
    found = fit(points)
    assert (found.per_message, found.per_byte) == pytest.approx((1e-3, 5e-10))
    assert [predicted(found, point) for point in points] == pytest.approx([point.step for point in points])


@pytest.mark.parametrize("workers", [2, 8])
def test_the_largest_gradients_cost_what_is_left_for_them(workers):
    size = largest_gradients(TERMS, workers, 1.0, efficiency=0.9, **LINK)
    assert 1 / (1 + exchange_seconds(TERMS, workers, size, **LINK)) == pytest.approx(0.9)
    assert largest_gradients(TERMS, workers, 1e-3, efficiency=0.9, **LINK) == 0
