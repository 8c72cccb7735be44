"""Whether the nodes' clocks agree."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import ray

from nn_train.doctor.findings import WARNING, Finding, judged
from nn_train.doctor.nodes import ANSWER_WITHIN, Node

LOOKS = 5
ALLOWED = 1.0  # seconds
ADVICE = "turn time synchronisation on (chrony or systemd-timesyncd): times in logs and results are not comparable"
Look = tuple[float, float, float]  # the driver's clock before, the node's, the driver's after; seconds since 1970


def check_clocks(nodes: Sequence[Node]) -> Finding:
    with ThreadPoolExecutor(32) as pool:
        looks = dict(zip([node.label for node in nodes], pool.map(look_at, nodes), strict=True))
    offsets = {label: offset(seen) for label, seen in looks.items() if seen}
    complaints = [
        f"{label}: did not say its time within {ANSWER_WITHIN:g} s" for label, seen in looks.items() if not seen
    ]
    worst = max((abs(seconds) for seconds, _ in offsets.values()), default=0.0)
    otherwise = f"at most {worst:.3f} s from this machine's"
    return judged("clocks", [*complaints, *wrong(offsets)], otherwise, ADVICE, result=WARNING)


def look_at(node: Node) -> list[Look]:
    """Looks at its clock; empty where it does not answer."""
    looks = []
    for _ in range(LOOKS):
        before = time.time()
        try:
            there = ray.get(node.call(time.time), timeout=ANSWER_WITHIN)
        except ray.exceptions.RayError:
            break
        looks.append((before, there, time.time()))
    return looks


def offset(looks: Iterable[Look]) -> tuple[float, float]:
    """How far a clock is ahead, and half the round trip, by which that may be wrong; seconds.

    From the look that took the shortest (Cristian's algorithm).
    """
    before, there, after = min(looks, key=lambda look: look[2] - look[0])
    return there - (before + after) / 2, (after - before) / 2


def wrong(offsets: Mapping[str, tuple[float, float]]) -> list[str]:
    """A line for every clock that is certainly more than ``ALLOWED`` seconds away."""
    return [
        f"{label}: {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
        for label, (seconds, error) in offsets.items()
        if abs(seconds) - error > ALLOWED
    ]
