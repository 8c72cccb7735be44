"""The address under which a node of Ray is reached."""

from __future__ import annotations

import ray

from nn_train.engine.addresses import hold_address


def free_address(port_range: str | None) -> str:
    """``host:port`` of this worker: the address under which its node joined Ray, which the other nodes reach, and a
    port that is kept free until it joins the strategy. Raises RequestError when there is none."""
    return hold_address(ray.util.get_node_ip_address(), port_range)
