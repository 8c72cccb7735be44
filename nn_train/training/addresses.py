"""Addresses on which the workers of one strategy find each other, and how TensorFlow is told of them."""

from __future__ import annotations

import json
import socket


def free_addresses(host: str, count: int) -> list[str]:
    """``host:port``, ``count`` times, with different ports of this machine that are free now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    probes = [socket.socket(family) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((host, 0))
        ports = [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for port in ports]


def tf_config(addresses: list[str], rank: int) -> str:
    """The value of ``TF_CONFIG`` for worker ``rank`` of the workers at ``addresses``."""
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}})
