"""cluster/{aws,gcp,azure}.yaml hold nothing that Ray or the cloud would ignore or refuse; typos are found."""

from __future__ import annotations

import copy
from functools import reduce
from pathlib import Path

import pytest
import yaml
from cloud_risks import risks
from cloud_schema import complaints

ROOT = Path(__file__).parents[2]
CLOUDS = ("aws", "gcp", "azure")
NEEDED = {"aws": "botocore", "gcp": "googleapiclient", "azure": "jsonschema"}
PACKAGES = {"botocore": "botocore", "googleapiclient": "google-api-python-client", "jsonschema": "ray[default]"}
HEAD = "available_node_types.head"
GPU = "available_node_types.gpu"
SPOT = "available_node_types.spot"
DELETED = object()

# Cloud, key, what stands there instead, what the complaint names.
TYPOS = [
    ("aws", "idle_timeout_minute", 5, "idle_timeout_minute"),
    ("aws", f"{GPU}.node_config.InstanceType", "g6.xlrage", "g6.xlrage"),
    ("gcp", f"{SPOT}.node_config.machinetype", "g2-standard-4", "machinetype"),
    ("azure", f"{SPOT}.node_config.azure_arm_parameters.osDiskSize", "128", "osDiskSize"),
]

RISKS = [
    ("aws", "idle_timeout_minutes", DELETED, "idle_timeout_minutes"),
    ("aws", f"{GPU}.node_config.SecurityGroupIds", DELETED, "SecurityGroupIds"),
    ("gcp", f"{SPOT}.node_config.serviceAccounts", DELETED, "serviceAccounts"),
    ("azure", "provider.use_internal_ips", DELETED, "use_internal_ips"),
]


def read(cloud):
    """The file, none of its parts shared by a YAML alias."""
    needs = NEEDED[cloud]
    pytest.importorskip(needs, reason=f"checks {cloud}.yaml with {needs}: pip install '{PACKAGES[needs]}'")
    return copy.deepcopy(yaml.load((ROOT / "cluster" / f"{cloud}.yaml").read_text(), Unshared))


class Unshared(yaml.SafeLoader):
    """Reads an alias as a copy, so that a change of one node type leaves the others alone."""

    def compose_node(self, parent, index):
        return copy.deepcopy(super().compose_node(parent, index))


def changed(config, key, value):
    """``config`` with another value at a dotted key."""
    *above, last = key.split(".")
    part = reduce(lambda inner, name: inner[name], above, config)
    if value is DELETED:
        del part[last]
    else:
        part[last] = value
    return config


@pytest.mark.parametrize("cloud", CLOUDS)
def test_files_hold_only_what_ray_and_the_cloud_know(cloud):
    assert complaints(read(cloud), cloud) == []


@pytest.mark.parametrize("cloud", CLOUDS)
def test_files_cost_little_and_let_nobody_in(cloud):
    assert risks(read(cloud), cloud) == []


@pytest.mark.parametrize(("cloud", "key", "value", "named"), TYPOS)
def test_typos_are_found(cloud, key, value, named):
    found = complaints(changed(read(cloud), key, value), cloud)
    assert [text for text in found if named in text], f"unnoticed; found only {found}"


@pytest.mark.parametrize(("cloud", "key", "value", "named"), RISKS)
def test_risks_are_found(cloud, key, value, named):
    found = risks(changed(read(cloud), key, value), cloud)
    assert [text for text in found if named in text], f"unnoticed; found only {found}"


@pytest.mark.parametrize("cloud", CLOUDS)
def test_what_the_machines_get_is_in_the_repository(cloud):
    config = read(cloud)
    mounted = {remote: local for remote, local in config["file_mounts"].items() if not local.startswith("~")}
    assert [local for local in mounted.values() if not (ROOT / local).is_file()] == []
    installs = [command for key in ("head", "worker") for command in config[f"{key}_setup_commands"]]
    locks = [command for command in installs if ".lock" in command]
    assert len(locks) == 2
    assert all("--require-hashes -r " in command and command.split()[-1] in mounted for command in locks)


@pytest.mark.parametrize("cloud", ["gcp", "azure"])
def test_spot_machines_are_asked_for_first_and_are_like_the_others(cloud):
    spot, on_demand = (read(cloud)["available_node_types"][name] for name in ("spot", "on_demand"))
    assert spot["resources"] == on_demand["resources"]
    assert spot["priority"] > on_demand.get("priority", 0)
