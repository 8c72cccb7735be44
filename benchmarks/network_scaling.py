"""What a step costs on two workers that a network lies between.

    python -m benchmarks.network_scaling [--steps N] [--rounds N] [--json FILE]     # as root

Two network namespaces are two hosts; the link between them is left as it is, then limited to 10 and to 1 Gbit/s with
0.2 ms of delay in each direction. A worker has one thread. Of each model and global batch is measured a step on two
workers, on each link in turn, and a step of two workers that know nothing of each other with half the batch each: the
computing alone, with both cores as busy. Shown are medians over the rounds. Then the model of docs/scaling.md is fitted
to what the exchange costs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.network_model import Point, Terms, fit, largest_gradients, predicted
from benchmarks.two_hosts import Host, Link, two_hosts
from nn_train.engine.addresses import tf_config

CASES = (("mlp", 128), ("mlp", 1024), ("cnn", 128), ("cnn", 512))  # model, global batch
SPEEDS_OF_LINK = (None, 10.0, 1.0)  # Gbit/s
DELAY = 0.2  # milliseconds, in each direction
PORTS, PROBE_PORT = {True: 20000, False: 20001}, 20002
PROBE_BYTES, PING_PONGS = 50_000_000, 200
EFFICIENCY = 0.9
STEP_TIMES = (0.01, 0.1, 1.0)  # seconds of computing, for the table of what fits
SPEEDS = (1.0, 10.0, 100.0)  # Gbit/s


@dataclass(frozen=True)
class Row(Point):
    """One line of the table: a model, its global batch, and the link as it was asked for."""

    model: str
    batch: int
    link: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="steps of one measurement; default 200")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each case and link; default 5")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--worker", nargs=3, metavar=("MODEL", "BATCH", "RANK"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        model, batch, rank = arguments.worker
        work(model, int(batch), int(rank))
        return 0
    rows: list[Row] = []
    with two_hosts(DELAY) as link:
        print(f"delay by {'netem' if link.has_netem else 'a process, since this kernel has no netem'}", flush=True)
        for model, batch in CASES:
            rows += measure(link, model, batch, arguments.steps, arguments.rounds)
    terms = fit(rows)
    show(rows, terms)
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        content = {"machine": machine, "delay": DELAY, "has_netem": link.has_netem, "terms": asdict(terms)}
        arguments.json.write_text(json.dumps({**content, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    return 0


def measure(link: Link, model: str, batch: int, steps: int, rounds: int) -> Iterator[Row]:
    """The rows of one model and batch: computing alone and every link take turns, ``rounds`` times."""
    alone: list[float] = []
    times: dict[float | None, list[float]] = {speed: [] for speed in SPEEDS_OF_LINK}
    probed: dict[float | None, list[list[float]]] = {speed: [] for speed in SPEEDS_OF_LINK}
    with (
        workers(link.hosts, model, batch // 2, together=False) as ask_alone,
        workers(link.hosts, model, batch, together=True) as ask,
    ):
        size = int(ask("bytes")[0])
        for _ in range(rounds):
            alone.append(statistics.mean(ask_alone(f"steps {steps}")))
            for speed in SPEEDS_OF_LINK:
                link.limit(speed)
                probed[speed].append(ask("probe"))
                times[speed].append(max(ask(f"steps {steps}")))
    for speed in SPEEDS_OF_LINK:
        bandwidth, one_way = (statistics.median(numbers) for numbers in zip(*probed[speed], strict=True))
        row = Row(
            step=statistics.median(times[speed]),
            compute=statistics.median(alone),
            bytes=size,
            bandwidth=bandwidth,
            one_way=one_way,
            model=model,
            batch=batch,
            link="unshaped" if speed is None else f"{speed:g} Gbit/s",
        )
        print(f"{model}, batch {batch}, {row.link}: {row.step * 1000:.2f} ms a step", flush=True)
        yield row


@contextlib.contextmanager
def workers(hosts: tuple[Host, Host], model: str, batch: int, together: bool) -> Iterator[Callable[[str], list[float]]]:
    """One worker on each host, of one strategy or of one each; yields what asks both and returns their answers.

    ``probe`` is answered by the first one, with two numbers.
    """
    addresses = [f"{host.address}:{PORTS[together]}" for host in hosts]
    processes: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryFile("w+") as log, contextlib.ExitStack() as stack:
        for rank, host in enumerate(hosts):
            place = (addresses, rank) if together else ([addresses[rank]], 0)
            environment = {**os.environ, "TF_CONFIG": tf_config(*place), "TF_CPP_MIN_LOG_LEVEL": "3"}
            environment["TF_ENABLE_ONEDNN_OPTS"] = "1"  # as the workers of jobs.train set it
            command = [sys.executable, "-m", "benchmarks.network_scaling", "--worker", model, str(batch), str(place[1])]
            process = subprocess.Popen(
                host.command(*command),
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            processes.append(stack.enter_context(process))
            stack.callback(process.kill)

        def ask(question: str) -> list[float]:
            for process in processes:
                assert process.stdin is not None
                process.stdin.write(question + "\n")
                process.stdin.flush()
            return [number for process in processes for number in answer(process, log)]

        ask("steps 5")  # traces the graph
        yield ask


def answer(process: subprocess.Popen[str], log: IO[str]) -> list[float]:
    """What a worker says next."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        log.seek(0)
        raise SystemExit(f"a worker ended:\n{log.read()[-3000:]}")
    return [float(word) for word in line.split()]


def work(model: str, batch: int, rank: int) -> None:
    """A worker: answers questions until its input ends."""
    from nn_train.config import config_from_dict
    from nn_train.datasets import load_data
    from nn_train.engine.loops import loop_of
    from nn_train.engine.preparation import prepare_model
    from nn_train.engine.strategy import configure_tensorflow, join_strategy

    addresses = json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"]
    configure_tensorflow(1, use_gpu=False)
    replicas = join_strategy(rank, len(addresses), whole_gpu=False)
    sections = {"model": {"name": model}, "data": {"validation_fraction": 0}, "train": {"batch_size": batch}}
    config = config_from_dict(sections)
    data = load_data(config.data)
    loop = loop_of(prepare_model(config, data, replicas), config, data, replicas)
    built = loop.model
    for question in sys.stdin:
        word, _, count = question.strip().partition(" ")
        if word == "bytes":
            numbers = [4 * sum(variable.value.shape.num_elements() for variable in built.trainable_variables)]
        elif word == "probe":
            numbers = probe(rank, addresses[0].partition(":")[0])
        else:
            numbers = [seconds_a_step(loop, int(count))]
        print(*numbers, flush=True)


def seconds_a_step(loop: Any, steps: int) -> float:
    """The mean over ``steps`` steps in one call of the graph, as an epoch is."""
    import numpy as np
    import tensorflow as tf

    order = np.resize(np.arange(loop.data.train.size, dtype=np.int32), steps * loop.batch_size)
    given = (loop.train_tensors, tf.constant(order), tf.constant(loop.batch_size), tf.constant(0), tf.constant(steps))
    began = time.perf_counter()
    *_, loss = loop.run_arrays(*given, tf.constant(0.0, tf.float64))
    float(loss)
    return (time.perf_counter() - began) / steps


def probe(rank: int, host: str) -> list[float]:
    """The first worker's answer: bytes a second, both ways at once, and seconds one way; the other's is empty."""
    if rank > 0:
        with connect(host) as connection:
            for _ in range(PING_PONGS):
                connection.sendall(connection.recv(1))
            exchange(connection)
            connection.recv(1)
        return []
    with socket.create_server((host, PROBE_PORT)) as server, server.accept()[0] as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        for _ in range(PING_PONGS):
            connection.sendall(b"?")
            connection.recv(1)
        one_way = (time.perf_counter() - began) / PING_PONGS / 2
        began = time.perf_counter()
        exchange(connection)
        bandwidth = PROBE_BYTES / (time.perf_counter() - began)
        connection.sendall(b"!")
    return [bandwidth, one_way]


def exchange(connection: socket.socket) -> None:
    """Send ``PROBE_BYTES`` and receive as many, at the same time, as workers do with gradients."""
    sender = threading.Thread(target=connection.sendall, args=(bytes(PROBE_BYTES),))
    sender.start()
    missing = PROBE_BYTES
    while missing:
        missing -= len(connection.recv(min(missing, 1 << 20)))
    sender.join()


def connect(host: str) -> socket.socket:
    """A connection to the worker that probes; it may not listen yet."""
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            connection = socket.create_connection((host, PROBE_PORT))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        time.sleep(0.01)


def show(rows: list[Row], terms: Terms) -> None:
    """Print the table, the fitted terms, and how large a model can be."""
    print("\nmodel  batch        MB  link        Gbit/s  one way  computing      step     model  error  efficiency")
    for row in rows:
        model = predicted(terms, row)
        print(
            f"{row.model:5} {row.batch:6} {row.bytes / 1e6:9.2f}  {row.link:10} {row.bandwidth * 8e-9:7.2f} "
            f"{row.one_way * 1000:5.2f} ms {row.compute * 1000:7.2f} ms {row.step * 1000:6.2f} ms "
            f"{model * 1000:6.2f} ms {model / row.step - 1:+6.0%} {row.compute / row.step:10.0%}"
        )
    print(f"\nfitted: {terms.per_message * 1000:.2f} ms a message, {terms.per_byte * 1e9:.2f} ns a byte")
    print(f"\nmillions of parameters at an efficiency of {EFFICIENCY:.0%} (beyond two workers: not measured)")
    print("workers  computing " + "".join(f"{speed:6g} Gbit/s" for speed in SPEEDS))
    for count in (2, 8):
        for compute in STEP_TIMES:
            sizes = [largest_gradients(terms, count, compute, s / 8e-9, DELAY / 1000, EFFICIENCY) for s in SPEEDS]
            print(f"{count:7} {compute * 1000:7.0f} ms " + "".join(f"{size / 4e6:13.2f}" for size in sizes))


if __name__ == "__main__":
    sys.exit(main())
