"""Whether the workers of a MultiWorkerMirroredStrategy could connect, from every node to every node."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from nn_train.config.schema import ScalingConfig, parse_port_range
from nn_train.doctor.findings import Finding, judged
from nn_train.doctor.nodes import Node, ask

CONNECT_WITHIN = 5.0  # seconds
Target = tuple[str, str, int]  # label, address, port


def check_ports(nodes: Sequence[Node], scaling: ScalingConfig) -> Finding:
    """Every node listens on a port as a worker would, and all connect to it, its own node too."""
    word, given = uuid.uuid4().hex, scaling.port_range
    ports = parse_port_range("scaling.port_range", given) if given else None
    listening = ask(nodes, listen, ports, word)
    targets = [
        (node.label, node.address, listening.values[node.label]) for node in nodes if node.label in listening.values
    ]
    connecting = ask(nodes, connect, targets, word)
    complaints = [*listening.complaints(), *connecting.complaints(), *closed(connecting.values)]
    which = (
        f"ports {ports[0]} to {ports[-1]}" if ports else "all ports from 1024, or set scaling.port_range and open that"
    )
    advice = f"let the machines reach each other (firewall, security group, network policy): {which}"
    pairs = len(targets) * len(connecting.values)
    return judged(
        "ports", complaints, f"open between all nodes ({pairs} connection{'s' if pairs != 1 else ''})", advice
    )


def listen(ports: range | None, word: str) -> int:
    """Listen on a free port, and say ``word`` to whoever connects. Goes on until this process ends."""
    import contextlib
    import socket
    import threading

    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    for port in ports or [0]:
        with contextlib.suppress(OSError):
            server = socket.create_server(("", port), family=family, backlog=1000, dualstack_ipv6=both)
            break
    else:
        raise OSError(f"none of the ports {ports[0]} to {ports[-1]} is free" if ports else "no port is free")

    def answer() -> None:
        while server.fileno() >= 0:  # until it is closed
            with contextlib.suppress(OSError), server.accept()[0] as connection:
                connection.sendall(word.encode())

    threading.Thread(target=answer, daemon=True).start()
    return int(server.getsockname()[1])


def connect(targets: list[Target], word: str) -> dict[str, str]:
    """Connect to every target; by its label an empty text, or why it failed."""
    import socket
    from concurrent.futures import ThreadPoolExecutor

    def try_one(target: Target) -> str:
        _, address, port = target
        try:
            with socket.create_connection((address, port), timeout=CONNECT_WITHIN) as connection:
                said = connection.recv(len(word), socket.MSG_WAITALL)
        except OSError as error:
            return f"port {port}: {error.strerror or error}"
        return "" if said == word.encode() else f"port {port}: something else answers at {address}"

    with ThreadPoolExecutor(32) as pool:
        return dict(zip([label for label, _, _ in targets], pool.map(try_one, targets), strict=True))


def closed(connections: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A line for every pair of nodes that cannot connect.

    Args:
        connections: by the node that connects, then by the one that listens: an empty text, or why it failed.
    """
    return [
        f"{source} to {target}, {reason}"
        for source, targets in connections.items()
        for target, reason in targets.items()
        if reason
    ]
