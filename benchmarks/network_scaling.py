"""What a step costs on several workers that a network lies between.

    python -m benchmarks.network_scaling [--workers N …] [--rounds N] [--json FILE]     # as root

Network namespaces on one switch are the hosts; it is left as fast as it is, then limited to 10 and to 1 Gbit/s with
0.2 ms of delay in each direction. A worker has one thread. Of each model and global batch is measured a step on all
workers, on each link in turn, and a step of as many workers that know nothing of each other with their share of the
batch: the computing alone, with the cores as busy. Shown are medians over the rounds. Then the model of
docs/scaling.md is fitted to what the exchange costs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.hosts import Switch, joined_hosts
from benchmarks.network_model import Network, Point, Terms, fit, largest_gradients, predicted
from benchmarks.network_worker import workers

COUNTS = (2, 3, 4)  # workers
SPEEDS_OF_LINK = (None, 10.0, 1.0)  # Gbit/s
DELAY = 0.2  # milliseconds, in each direction
EFFICIENCY = 0.9
STEP_TIMES = (0.01, 0.1, 1.0)  # seconds of computing, for the table of what fits
SPEEDS = (1.0, 10.0, 100.0)  # Gbit/s
Ask = Callable[[str], list[float]]


@dataclass(frozen=True)
class Case:
    """A built-in model with so many hidden units, its global batch, and the steps of one measurement."""

    model: str
    units: int
    optimizer: str
    batch: int
    steps: int


CASES = (
    Case("mlp", 128, "adam", 128, steps=50),
    Case("mlp", 128, "adam", 1024, steps=40),
    Case("cnn", 128, "adam", 128, steps=30),
    Case("cnn", 128, "adam", 512, steps=12),
    Case("mlp", 3_220, "sgd", 128, steps=8),  # 2.6 million parameters
    Case("mlp", 32_200, "sgd", 128, steps=2),  # 25.6 million parameters, as a ResNet-50
)


@dataclass(frozen=True)
class Row(Point):
    """One line of the table: a model, its global batch, and the link as it was asked for."""

    model: str
    batch: int
    link: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=COUNTS, metavar="N", help="from 2 on; default 2 3 4")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each case and link; default 3")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for count in arguments.workers:
        with joined_hosts(count, DELAY) as switch:
            has_netem = switch.has_netem
            print(f"{count} workers; delay by {'netem' if has_netem else 'a process: no netem here'}", flush=True)
            with workers(switch.hosts, together=False) as ask_alone, workers(switch.hosts, together=True) as ask:
                for case in CASES:
                    rows += measure(switch, case, ask_alone, ask, arguments.rounds)
    terms = fit(rows)
    show(rows, terms)
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        content = {"machine": machine, "delay": DELAY, "has_netem": has_netem, "terms": asdict(terms)}
        arguments.json.write_text(json.dumps({**content, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    return 0


def measure(switch: Switch, case: Case, ask_alone: Ask, ask: Ask, rounds: int) -> Iterator[Row]:
    """The rows of one case: computing alone and every link take turns, ``rounds`` times."""
    alone: list[float] = []
    times: dict[float | None, list[float]] = {speed: [] for speed in SPEEDS_OF_LINK}
    probed: dict[float | None, list[list[float]]] = {speed: [] for speed in SPEEDS_OF_LINK}
    count = len(switch.hosts)
    switch.limit(None)
    question = f"model {case.model} {case.units} {case.optimizer}"
    ask_alone(f"{question} {-(-case.batch // count)}")
    size = int(ask(f"{question} {case.batch}")[0])
    for _ in range(rounds):
        alone.append(statistics.mean(ask_alone(f"steps {case.steps}")))
        for speed in SPEEDS_OF_LINK:
            switch.limit(speed)
            probed[speed].append(ask("probe"))
            times[speed].append(max(ask(f"steps {case.steps}")))
    for speed in SPEEDS_OF_LINK:
        bandwidth, one_way = (statistics.median(numbers) for numbers in zip(*probed[speed], strict=True))
        row = Row(
            network=Network(count, bandwidth, one_way),
            step=statistics.median(times[speed]),
            compute=statistics.median(alone),
            bytes=size,
            model=case.model,
            batch=case.batch,
            link="unshaped" if speed is None else f"{speed:g} Gbit/s",
        )
        print(
            f"{count} workers, {size / 1e6:.1f} MB, batch {case.batch}, {row.link}: {row.step * 1000:.2f} ms a step",
            flush=True,
        )
        yield row


def show(rows: list[Row], terms: Terms) -> None:
    """Print the tables of docs/scaling.md, times in milliseconds."""
    links = list(dict.fromkeys(row.link for row in rows))
    print("\nthe links, medians over the cases\n")
    show_links(rows, links)
    print("\na step, and how far the formula is off\n")
    print_table("workers", "model", "MB", "batch", "computing", *(cell for link in links for cell in (link, "formula")))
    for first in range(0, len(rows), len(links)):
        row, of_links = rows[first], rows[first : first + len(links)]
        case = (row.network.workers, row.model, f"{row.bytes / 1e6:.1f}", row.batch, f"{row.compute * 1000:.1f}")
        steps = [(f"{one.step * 1000:.1f}", f"{predicted(terms, one) / one.step - 1:+.0%}") for one in of_links]
        print_line(*case, *(cell for pair in steps for cell in pair))
    print(f"\nfitted: {terms.per_message * 1000:.2f} ms a message, {terms.per_byte * 1e9:.2f} ns a byte")
    print(f"\nmillions of parameters at an efficiency of {EFFICIENCY:.0%}; more than four workers were not measured\n")
    show_sizes(terms)


def show_links(rows: list[Row], links: list[str]) -> None:
    print_table("workers", *(f"{link}: {what}" for link in links for what in ("Gbit/s", "one way")))
    for count in dict.fromkeys(row.network.workers for row in rows):
        cells = []
        for link in links:
            networks = [row.network for row in rows if (row.network.workers, row.link) == (count, link)]
            cells.append(f"{statistics.median(one.bandwidth for one in networks) * 8e-9:.2f}")
            cells.append(f"{statistics.median(one.one_way for one in networks) * 1000:.2f}")
        print_line(count, *cells)


def show_sizes(terms: Terms) -> None:
    print_table("workers", "computing", *(f"{speed:g} Gbit/s" for speed in SPEEDS))
    for count in (2, 4, 8):
        for compute in STEP_TIMES:
            networks = [Network(count, speed / 8e-9, DELAY / 1000) for speed in SPEEDS]
            sizes = [largest_gradients(terms, network, compute, EFFICIENCY) for network in networks]
            print_line(count, f"{compute * 1000:,.0f} ms", *(f"{size / 4e6:.2f}" for size in sizes))


def print_table(*names: str) -> None:
    """Its first two lines."""
    print_line(*names)
    print("|" + "---:|" * len(names))


def print_line(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    sys.exit(main())
