"""Which Ray a job runs on, and whether the job fits it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from nn_train.config.schema import ScalingConfig
from nn_train.errors import RequestError

KUBERAY = "RAY_enable_autoscaler_v2"  # "true" on the heads of KubeRay
HEAD_CONFIG = Path("~/ray_bootstrap_config.yaml")  # `ray up` puts it on the head, where submitted jobs run


@contextlib.contextmanager
def ray_session(verbose: bool) -> Iterator[None]:
    """A Ray to run on: the one already joined, the cluster of ``RAY_ADDRESS``, or a local one of its own.

    A local Ray is stopped at the end; a cluster is only left.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray warns about it at every start
    if not verbose:
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # what a raylet says of a dead worker, in 1,200 letters
    import ray

    if ray.is_initialized():
        yield
        return
    level = logging.INFO if verbose else logging.ERROR
    options: dict[str, Any] = {"log_to_driver": verbose, "logging_level": level, "configure_logging": True}
    from nn_train.training import local_ray

    if address := os.environ.get("RAY_ADDRESS"):
        check_reachable(address)
        with local_ray.loopback_kept():
            ray.init(**options)
    else:
        local_ray.start(with_logs=verbose, **options)
    try:
        yield
    finally:
        ray.shutdown()


def check_reachable(address: str) -> None:
    """Raise RequestError when no Ray answers at ``host:port``, or refuses the token; Ray would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # "auto", "local"
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RpcError

    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        if "://" not in address:
            GcsClient(address=address)
    except AuthenticationError as error:
        raise RequestError(
            f"RAY_ADDRESS: the Ray at {address} refuses the token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH "
            "(or RAY_AUTH_TOKEN) to the token of its head"
        ) from error
    except (OSError, RpcError) as error:
        raise RequestError(
            f"RAY_ADDRESS: no Ray answers at {address} ({error}); unset it to start a local one"
        ) from error


def resources_per_worker(scaling: ScalingConfig) -> dict[str, float]:
    """What Ray reserves for one worker."""
    gpus = {"GPU": scaling.gpus_per_worker} if scaling.use_gpu else {}
    return {"CPU": scaling.cpus_per_worker, **gpus}


def check_placeable(scaling: ScalingConfig) -> None:
    """Raise RequestError when the workers fit neither the cluster nor what it can grow to."""
    import ray

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
    names = {"CPU": "CPUs", "GPU": "GPUs"}
    fields = {"CPU": "scaling.cpus_per_worker", "GPU": "scaling.gpus_per_worker"}
    for resource, amount in each.items():
        there = sum(node.get(resource, 0) for node in nodes)
        most = max(there, (limit or {}).get(resource, 0))
        if amount * least > most + 1e-9:
            grown = " even when it has grown" if limit else ""
            return (
                f"{count}: {least} workers of {amount:g} {names[resource]} need {amount * least:g} {names[resource]}, "
                f"the cluster has {most:g}{grown}; lower {count} or {fields[resource]}"
                + (", or set scaling.use_gpu to false" if resource == "GPU" else "")
            )
    fitting = sum(workers_on(node, each) for node in nodes)
    can_grow = any(workers_on(node, each) for node in node_types)
    if fitting < least and not can_grow:
        wanted = ", ".join(f"{amount:g} {names[r]}" for r, amount in each.items())
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


def waiting_for(scaling: ScalingConfig, total: dict[str, float], free: dict[str, float]) -> str:
    """``2 CPUs: 1 of 4 free``: what the workers need and the cluster has not free.

    Args:
        scaling: the request.
        total, free: amounts by resource, all nodes together.
    """
    needs = {name: amount * scaling.least_workers for name, amount in resources_per_worker(scaling).items()}
    scarce = [name for name, amount in needs.items() if amount > free.get(name, 0) + 1e-9]
    told = [
        f"{needs[name]:g} {name}{'s' if needs[name] != 1 else ''}: {free.get(name, 0):g} of {total.get(name, 0):g} free"
        for name in scarce or needs
    ]
    return "; ".join(told) + ("" if scarce else ", but spread over too many machines")


def trials_at_a_time(scaling: ScalingConfig) -> int:
    """How many groups of ``num_workers`` workers fit the cluster as it is, at least one."""
    import ray

    each = resources_per_worker(scaling)
    fitting = sum(workers_on(node["Resources"], each) for node in ray.nodes() if node["Alive"])
    return max(1, fitting // scaling.num_workers)


def workers_on(node: dict[str, float], each: dict[str, float]) -> int:
    """How many workers that need ``each`` fit on an empty node."""
    return min(int((node.get(resource, 0) + 1e-9) / amount) for resource, amount in each.items())
