"""A worker whose steps are timed, one on each host: it answers questions, one a line.

    python -m benchmarks.network_worker RANK      # in a network of its own, with TF_CONFIG

``model NAME HIDDEN_UNITS OPTIMIZER BATCH`` makes one: bytes of the gradients. ``steps N``: seconds of a step of it, the
mean. ``probe``: of the network, bytes a second and seconds one way, by the first worker only.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.asking import asked
from benchmarks.hosts import Host
from nn_train.engine.addresses import tf_config

PORTS, PROBE_PORT = {True: 20000, False: 20001}, 20002
PROBE_BYTES, TURNS = 50_000_000, 100


@contextlib.contextmanager
def workers(hosts: Sequence[Host], together: bool) -> Iterator[Callable[[str], list[float]]]:
    """One worker on each host, of one strategy or of one each; yields what asks all and returns their answers."""
    addresses = [f"{host.address}:{PORTS[together]}" for host in hosts]
    commands = []
    for rank, host in enumerate(hosts):
        place = (addresses, rank) if together else ([addresses[rank]], 0)
        environment = {"TF_CONFIG": tf_config(*place), "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment["TF_ENABLE_ONEDNN_OPTS"] = "1"  # as the workers of jobs.train set it
        commands.append((host.command(sys.executable, "-m", "benchmarks.network_worker", str(place[1])), environment))
    with asked("a worker", commands) as ask:
        yield lambda question: [number for numbers in ask(question) for number in numbers]


def main() -> int:
    """Answer until the input ends."""
    from nn_train.engine.joining import join_strategy
    from nn_train.engine.strategy import configure_tensorflow

    rank = int(sys.argv[1])
    addresses = json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"]
    configure_tensorflow(1, use_gpu=False)
    replicas = join_strategy(rank, len(addresses), whole_gpu=False)
    loop: Any = None
    for question in sys.stdin:
        word, *details = question.split()
        if word == "model":
            loop = new_loop(replicas, *details)
            numbers = [4 * sum(variable.value.shape.num_elements() for variable in loop.model.trainable_variables)]
        elif word == "steps":
            numbers = [seconds_a_step(loop, int(details[0]))]
        else:
            numbers = probe(rank, [address.partition(":")[0] for address in addresses])
        print(*numbers, flush=True)
    return 0


def new_loop(replicas: Any, name: str, units: str, optimizer: str, batch: str) -> Any:
    """The loop of a built-in model, traced."""
    from nn_train.config import config_from_dict
    from nn_train.datasets import load_data
    from nn_train.engine.loops import loop_of
    from nn_train.engine.preparation import prepare_model

    config = config_from_dict(
        {
            "model": {"name": name, "hidden_units": int(units)},
            "optimizer": {"name": optimizer},
            "data": {"validation_fraction": 0},
            "train": {"batch_size": int(batch)},
        }
    )
    data = load_data(config.data)
    loop = loop_of(prepare_model(config, data, replicas), config, data, replicas)
    for steps in (2, 3):  # the second traces it for any number
        seconds_a_step(loop, steps)
    return loop


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


def probe(rank: int, hosts: list[str]) -> list[float]:
    """A byte goes round all workers, then all send ``PROBE_BYTES`` to the next at once, as gradients go.

    Returns:
        bytes a second in each direction, and seconds from one to the next: on the first worker; [] on the others.
    """
    with (
        socket.create_server((hosts[rank], PROBE_PORT)) as server,
        connect(hosts[(rank + 1) % len(hosts)]) as following,
        server.accept()[0] as previous,
    ):
        began = 0.0
        for turn in range(TURNS + 1):
            if turn == 1:  # now all are there
                began = time.perf_counter()
            if rank == 0:
                following.sendall(b"?")
                previous.recv(1)
            else:
                following.sendall(previous.recv(1))
        one_way = (time.perf_counter() - began) / TURNS / len(hosts)
        began = time.perf_counter()
        pass_on(following, previous)
        bandwidth = PROBE_BYTES / (time.perf_counter() - began)
    return [bandwidth, one_way] if rank == 0 else []


def connect(host: str) -> socket.socket:
    """A connection to the next worker; it may not listen yet."""
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            connection = socket.create_connection((host, PROBE_PORT))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        time.sleep(0.01)


def pass_on(following: socket.socket, previous: socket.socket) -> None:
    """Send ``PROBE_BYTES`` to one worker and receive as many from another, at the same time."""
    sender = threading.Thread(target=following.sendall, args=(bytes(PROBE_BYTES),))
    sender.start()
    missing = PROBE_BYTES
    while missing:
        missing -= len(previous.recv(min(missing, 1 << 20)))
    sender.join()


if __name__ == "__main__":
    sys.exit(main())
