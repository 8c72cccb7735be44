"""Addresses on which the workers of one strategy find each other, and how TensorFlow is told of them."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time
from collections.abc import Sequence

from nn_train.config.schema import parse_port_range
from nn_train.errors import RequestError

ANY = range(1)  # port 0: the system chooses
LOOK_EVERY, LOOK_FOR = 0.01, 0.2  # seconds
held: list[socket.socket] = []


def hold_address(host: str, port_range: str | None = None) -> str:
    """``host:port`` with a port of this machine that nobody else gets before ``release_addresses``.

    TensorFlow is told of its port and imported seconds before it opens it. Workers that only looked for a free port
    would find the same one, and of 100 ports 20 workers hold two that are equal nine times out of ten.

    Args:
        host: the address of this machine that the others use.
        port_range: ``scaling.port_range``.

    Raises:
        RequestError: no port of the range is free.
    """
    ports: Sequence[int] = parse_port_range("scaling.port_range", port_range) if port_range else ANY
    for port in random.sample(ports, len(ports)):  # two jobs that begin at once rarely meet
        with contextlib.suppress(OSError):
            held.append(listener(":" in host, port))
            number = held[-1].getsockname()[1]
            return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
    raise RequestError(
        f"scaling.port_range: none of the {len(ports)} ports {port_range} is free on {host}; every worker on a machine "
        "needs one of its own, those of other trials and jobs as well: give a wider range or another one"
    )


def listener(ipv6: bool, port: int) -> socket.socket:
    """A socket that listens, but answers nobody, on all addresses of the machine, as TensorFlow will.

    ``SO_REUSEADDR`` as TensorFlow sets it: a port whose connections were just closed counts as free. It listens
    because two sockets that are only bound would share the port.
    """
    probe = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("", port))
        probe.listen(0)
    except OSError:
        probe.close()
        raise
    return probe


def release_addresses() -> None:
    """Let TensorFlow, in this process or another, have the ports that this process holds."""
    while held:
        held.pop().close()


def await_server(address: str, limit: float = 10.0) -> None:
    """Wait until TensorFlow's server answers at ``address``, or until ``limit`` seconds have passed.

    A client of gRPC that comes before the server looks again a second later. A listener that only holds the port takes
    connections, but says nothing; a server of gRPC begins.
    """
    host, _, port = address.rpartition(":")
    end = time.monotonic() + limit
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), LOOK_FOR) as server:
            if server.recv(1):
                return
        time.sleep(LOOK_EVERY)


def free_addresses(host: str, count: int) -> list[str]:
    """``host:port``, ``count`` times, with different ports of this machine that are free now."""
    addresses = [hold_address(host) for _ in range(count)]
    release_addresses()
    return addresses


def tf_config(addresses: list[str], rank: int) -> str:
    """The value of ``TF_CONFIG`` for worker ``rank`` of the workers at ``addresses``."""
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}})
