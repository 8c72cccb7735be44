"""Whether workers fit a cluster, how many of them, and what they wait for (``training.scaling`` tells it)."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import ray
import yaml
from ray._private.state import state

from nn_train.config.schema import ScalingConfig
from nn_train.errors import RequestError

KUBERAY = "RAY_enable_autoscaler_v2"  # "true" on the heads of KubeRay
HEAD_CONFIG = Path("~/ray_bootstrap_config.yaml")  # `ray up` puts it on the head, where submitted jobs run


def resources_per_worker(scaling: ScalingConfig) -> dict[str, float]:
    """What Ray reserves for one worker."""
    gpus = {"GPU": scaling.gpus_per_worker} if scaling.use_gpu else {}
    return {"CPU": scaling.cpus_per_worker, **gpus}


def check_placeable(scaling: ScalingConfig) -> None:
    """Raise RequestError when the workers fit neither the cluster nor what it can grow to."""
    kinds = growth()
    if kinds is None:
        return
    limit = {name: sum(kind.get(name, 0) * most for kind, most in kinds) for name in resources_per_worker(scaling)}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    problem = unplaceable(scaling, nodes, limit if kinds else None, [kind for kind, _ in kinds])
    if problem:
        raise RequestError(problem)


def growth() -> list[tuple[dict[str, float], int]] | None:
    """The resources of each kind of node that the cluster's autoscaler adds, and how many of them there may be.

    None when it adds nodes but nothing here tells which. Ray does not: nothing in Ray 2.60 fills what
    ``state.get_cluster_config`` gives (ray-project/ray#63012).
    """
    if os.environ.get(KUBERAY) == "true":
        return None
    try:
        config = yaml.safe_load(HEAD_CONFIG.expanduser().read_text())
    except OSError:
        return []
    kinds = [kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]]
    if not all(kind.get("resources") for kind in kinds):
        return None
    most = config["max_workers"]
    return [(kind["resources"], min(most, kind.get("max_workers", most))) for kind in kinds]


def unplaceable(
    scaling: ScalingConfig,
    nodes: list[dict[str, float]],
    limit: dict[str, float] | None,
    node_types: list[dict[str, float]],
) -> str | None:
    """Why the workers can never be placed, or None when they can.

    Args:
        scaling: the request.
        nodes: the total resources of each node that is there.
        limit: the most that the cluster can grow to, all nodes together; None when it does not grow.
        node_types: the resources of a node of each kind that it can grow by.
    """
    each, least = resources_per_worker(scaling), scaling.least_workers
    count = "scaling.num_workers" if scaling.min_workers is None else "scaling.min_workers"
    fields = {"CPU": "scaling.cpus_per_worker", "GPU": "scaling.gpus_per_worker"}
    for resource, amount in each.items():
        there = sum(node.get(resource, 0) for node in nodes)
        most = max(there, (limit or {}).get(resource, 0))
        if amount * least > most + 1e-9:
            grown = " even when it has grown" if limit else ""
            need = amount_of(amount * least, resource)
            return (
                f"{count}: {least} workers of {amount_of(amount, resource)} need {need}, "
                f"the cluster has {most:g}{grown}; lower {count} or {fields[resource]}"
                + (", or set scaling.use_gpu to false" if resource == "GPU" else "")
            )
    fitting = sum(workers_on(node, each) for node in nodes)
    can_grow = any(workers_on(node, each) for node in node_types)
    if fitting < least and not can_grow:
        wanted = ", ".join(amount_of(amount, resource) for resource, amount in each.items())
        return (
            f"{count}: only {fitting} of {least} workers fit: a worker needs {wanted} on "
            f"one node, and the cluster's {len(nodes)} nodes (and those it can grow by) are too small for more; "
            "lower what a worker needs"
        )
    return None


def is_waiting(placement_groups: dict[str, dict[str, Any]], job: str) -> bool:
    """Whether workers of a Ray job have no room yet.

    Args:
        placement_groups: what ``ray.util.placement_group_table()`` gives; an id ends with that of its job.
        job: the job's id in hex.
    """
    return any(key.endswith(job) and group["state"] == "PENDING" for key, group in placement_groups.items())


def amount_of(count: float, resource: str) -> str:
    """``1 CPU``, ``2 GPUs``."""
    return f"{count:g} {resource}{'s' if count != 1 else ''}"


def waiting_for(scaling: ScalingConfig, total: dict[str, float], free: dict[str, float]) -> str:
    """``2 CPUs: 1 of 4 free``: what the workers need and the cluster has not free.

    Args:
        scaling: the request.
        total, free: amounts by resource, all nodes together.
    """
    needs = {name: amount * scaling.least_workers for name, amount in resources_per_worker(scaling).items()}
    scarce = [name for name, amount in needs.items() if amount > free.get(name, 0) + 1e-9]
    shortages = [
        f"{amount_of(needs[name], name)}: {free.get(name, 0):g} of {total.get(name, 0):g} free"
        for name in scarce or needs
    ]
    return "; ".join(shortages) + ("" if scarce else ", but spread over too many machines")


def trials_at_a_time(scaling: ScalingConfig) -> int:
    """How many groups of ``num_workers`` workers fit the cluster as it is, at least one."""
    each = resources_per_worker(scaling)
    fitting = sum(workers_on(node["Resources"], each) for node in ray.nodes() if node["Alive"])
    return max(1, fitting // scaling.num_workers)


def workers_on(node: dict[str, float], each: dict[str, float]) -> int:
    """How many workers that need ``each`` fit on an empty node."""
    return min(int((node.get(resource, 0) + 1e-9) / amount) for resource, amount in each.items())


ANSWER_WITHIN = 1.0  # seconds


def size_for_room(scaling: ScalingConfig) -> int:
    """How many workers to start: what there is room for, within the range."""
    if scaling.least_workers == scaling.num_workers:
        return scaling.num_workers
    return max(scaling.least_workers, min(scaling.num_workers, room_for_workers(scaling)))


def is_anyone_waiting() -> bool:
    """Whether workers of some job have no room yet."""
    return any(group["state"] == "PENDING" for group in ray.util.placement_group_table().values())


def usable_nodes() -> list[dict[str, float]]:
    """What is free on each node where workers can be placed."""
    free, leaving = state.available_resources_per_node(), state.get_draining_nodes()
    return [
        free.get(node["NodeID"], {})
        for node in ray.nodes()
        if node["Alive"]
        and node["NodeID"] not in leaving
        and answers((node["NodeManagerAddress"], node["NodeManagerPort"]))
    ]


def answers(address: tuple[str, int]) -> bool:
    """Whether a raylet is there. Ray itself takes a node for lost only after many seconds without a sign of life."""
    try:
        socket.create_connection(address, timeout=ANSWER_WITHIN).close()
    except OSError:
        return False
    return True


def room_for_workers(scaling: ScalingConfig) -> int:
    """How many workers fit what is free."""
    each = resources_per_worker(scaling)
    return sum(workers_on(free, each) for free in usable_nodes())
