"""What would make a file for ``ray up`` expensive or open, though Ray and the cloud accept it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

# Machines with accelerators by their names.
WITH_GPU = {"aws": r"(g|p|inf|trn)\d", "gcp": r"(a|g)\d+-", "azure": r"Standard_N"}
SIZE = {"aws": "InstanceType", "gcp": "machineType", "azure": "vmSize"}
TOKEN = "~/.ray/auth_token"


def risks(config: dict[str, Any], cloud: str) -> list[str]:
    """Every risk of a file for ``aws``, ``gcp`` or ``azure``; empty for one that costs little and lets nobody in."""
    return [*costs(config, cloud), *open_doors(config, cloud), *credentials(config, cloud), *token_faults(config)]


def machine(node_type: dict[str, Any], cloud: str) -> dict[str, Any]:
    """The keys that describe a machine to the cloud."""
    return node_type["node_config"].get("azure_arm_parameters", {}) if cloud == "azure" else node_type["node_config"]


def costs(config: dict[str, Any], cloud: str) -> Iterator[str]:
    if not 0 < config.get("idle_timeout_minutes", 0) <= 60:
        yield "idle_timeout_minutes: workers without work stay for more than an hour"
    if config["provider"].get("cache_stopped_nodes") is not False:
        yield "provider.cache_stopped_nodes: `ray down` would only stop machines, whose disks go on costing"
    if config.get("max_workers", 0) < 1:
        yield "max_workers: no worker could ever start"
    for name, node_type in config["available_node_types"].items():
        size = str(machine(node_type, cloud).get(SIZE[cloud]))
        has_gpu = bool(re.match(WITH_GPU[cloud], size) or "guestAccelerators" in node_type["node_config"])
        if node_type.get("min_workers", 0) != 0:
            yield f"{name}.min_workers: these machines run whether there is work or not"
        if has_gpu != bool(node_type["resources"].get("GPU")):
            yield f"{name}: {size} and resources.GPU do not go together"
        if has_gpu == (name == config["head_node_type"]):
            yield f"{name}: the head has no GPU, a worker has one"


def open_doors(config: dict[str, Any], cloud: str) -> Iterator[str]:
    if re.search(r"0\.0\.0\.0|::/0", json.dumps(config)):
        yield "0.0.0.0: open to the world"
    if cloud == "azure" and config["provider"].get("use_internal_ips") is not True:
        yield "provider.use_internal_ips: Ray's network for Azure lets the world in at port 22"
    for name, node_type in config["available_node_types"].items():
        node = node_type["node_config"]
        if cloud == "aws" and not node.get("SecurityGroupIds"):
            yield f"{name}.SecurityGroupIds: Ray would make a group that is open to the world at port 22"
        networks = [link.get("subnetwork", "default") for link in node.get("networkInterfaces", [{}])]
        if cloud == "gcp" and any(network.endswith("default") for network in networks):
            yield f"{name}.networkInterfaces: the network `default` is open to the world at port 22"


def credentials(config: dict[str, Any], cloud: str) -> Iterator[str]:
    for key in config["provider"].keys() & {"aws_credentials", "gcp_credentials"}:
        yield f"provider.{key}: credentials in a file"
    role = {"aws": "IamInstanceProfile", "gcp": "serviceAccounts"}.get(cloud)  # Azure: Ray gives every machine one
    for name, node_type in config["available_node_types"].items():
        given_by_ray = cloud == "gcp" and name == config["head_node_type"]
        if role and not given_by_ray and role not in node_type["node_config"]:
            yield f"{name}.{role}: this machine could not reach the bucket"


def token_faults(config: dict[str, Any]) -> Iterator[str]:
    if config.get("file_mounts", {}).get(TOKEN) != TOKEN:
        yield f"file_mounts: {TOKEN} does not reach the machines"
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        starts = [command for command in config.get(key, []) if "ray start" in command]
        if not starts or not all(re.search(r"export .*\bRAY_AUTH_MODE=token\b.*;", command) for command in starts):
            yield f"{key}: Ray starts without RAY_AUTH_MODE=token"
