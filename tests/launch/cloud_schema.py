"""What is wrong with a file for ``ray up``: Ray's own checks, then the keys that Ray hands on to a cloud unseen.

Nothing here needs a network. AWS is checked against botocore's description of RunInstances, Google Cloud against the
API's description that googleapiclient brings, Azure against the template that Ray fills in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import ray.autoscaler._private
from ray.autoscaler._private.util import prepare_config, validate_config

RAY = Path(next(iter(ray.autoscaler._private.__path__)))
FOLDERS = {"aws": "aws", "gcp": "gcp", "azure": "_azure"}
FOR_ALL = {"type", "module", "use_internal_ips", "use_external_head_ip"}
MADE_BY_RAY = {"msi", "nsg", "subnet"}  # of Azure: what a file says there is overwritten

# Azure's template: what Ray fills in itself, what Ray takes out before, and values that the template does not list.
FILLED_IN = {"vmName", "vmTags", "vmCount", "provisionPublicIp", "msi", "nsg", "subnet", "zones"}
FILLED_IN |= {"adminUsername", "publicKey"}
PRIORITIES = ("Regular", "Low", "Spot")
ARM_TYPES = {"string": str, "securestring": str, "int": int, "bool": bool, "object": dict, "array": list}


def complaints(config: dict[str, Any], cloud: str) -> list[str]:
    """Every fault of a file for ``aws``, ``gcp`` or ``azure``, in words that name the key; empty for a good file."""
    found = [*ray_faults(config), *provider_faults(config, cloud)]
    check = {"aws": aws_faults, "gcp": gcp_faults, "azure": azure_faults}[cloud]
    for name, node_type in config["available_node_types"].items():
        found += [f"{name}: {fault}" for fault in check(node_type["node_config"])]
    return found


def ray_faults(config: dict[str, Any]) -> Iterator[str]:
    """What ``ray up`` itself refuses: unknown keys of its own, a wrong head type, parts of a CPU."""
    try:
        validate_config(prepare_config(json.loads(json.dumps(config))))
    except Exception as error:
        yield f"ray: {str(error).splitlines()[0]}"


def provider_faults(config: dict[str, Any], cloud: str) -> Iterator[str]:
    for key in sorted(config["provider"].keys() - provider_keys(cloud)):
        yield f"provider.{key}: Ray's code for {cloud} reads no such key"


@cache
def provider_keys(cloud: str) -> frozenset[str]:
    """The keys of ``provider`` that Ray's code for a cloud looks up, as they stand in its source."""
    looked_up = re.compile(r'(?:provider_config|conf(?:ig)?\["provider"\])\s*(?:\.get\(|\[)\s*"([a-z]\w*)"')
    sources = [path.read_text() for path in (RAY / FOLDERS[cloud]).glob("*.py")]
    return frozenset(FOR_ALL.union(*(looked_up.findall(source) for source in sources)) - MADE_BY_RAY)


def aws_faults(node_config: dict[str, Any]) -> Iterator[str]:
    """Unknown parameters, wrong types, unknown values of a list (of instance types too), an image without its id."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel
    from botocore.validate import ParamValidator

    request = ServiceModel(Loader().load_service_model("ec2", "service-2")).operation_model("RunInstances").input_shape
    asked = {**{key: value for key, value in node_config.items() if key != "SubnetIds"}, "MinCount": 1, "MaxCount": 1}
    if text := ParamValidator().validate(asked, request).generate_report():
        yield from text.splitlines()
    yield from aws_values(asked, request, "")
    if not re.match(r"(ami-[0-9a-f]+|resolve:ssm:/\S+)$", asked.get("ImageId", "")):
        yield f"ImageId: {asked.get('ImageId')}: neither ami-… nor resolve:ssm:/…; Ray's default is Ubuntu 18.04"


def aws_values(value: Any, shape: Any, where: str) -> Iterator[str]:
    """Values that are not on the list of their shape, which botocore itself leaves to the service."""
    if isinstance(value, dict) and shape.type_name == "structure":
        for key in value.keys() & shape.members.keys():
            yield from aws_values(value[key], shape.members[key], f"{where}.{key}".lstrip("."))
    elif isinstance(value, list) and shape.type_name == "list":
        for item in value:
            yield from aws_values(item, shape.member, where)
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{where}: {value}: not among the {len(shape.enum)} values that AWS knows"


@cache
def gcp_schemas() -> dict[str, Any]:
    """The schemas of the Compute API by name."""
    documents = files("googleapiclient") / "discovery_cache" / "documents"
    return json.loads((documents / "compute.v1.json").read_text())["schemas"]


def gcp_faults(node_config: dict[str, Any]) -> list[str]:
    """Unknown keys, wrong types and unknown values, below ``Instance``; whether a machine type exists is not known."""
    return list(gcp_values(node_config, {"$ref": "Instance"}, ""))


def gcp_values(value: Any, schema: dict[str, Any], where: str) -> Iterator[str]:
    schema = gcp_schemas()[schema["$ref"]] if "$ref" in schema else schema
    of_kind = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    kinds = (str, int) if "int64" in schema.get("format", "") else of_kind[schema["type"]]
    if not isinstance(value, kinds) or (isinstance(value, bool) and schema["type"] != "boolean"):
        yield f"{where}: {value!r} is not of type {schema['type']}"
    elif isinstance(value, dict):
        known = schema.get("properties", {})
        for key, item in value.items():
            if key in known or "additionalProperties" in schema:
                below = known.get(key) or schema["additionalProperties"]
                yield from gcp_values(item, below, f"{where}.{key}".lstrip("."))
            else:
                yield f"{where}.{key}: no such key".lstrip(".")
    elif isinstance(value, list):
        for item in value:
            yield from gcp_values(item, schema["items"], where)
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value}: not one of {', '.join(schema['enum'])}"


def azure_faults(node_config: dict[str, Any]) -> Iterator[str]:
    """Parameters that Ray's template lacks, or of another type; whether a size exists is not known."""
    parameters = json.loads((RAY / "_azure" / "azure-vm-template.json").read_text())["parameters"]
    for key in node_config.keys() - {"azure_arm_parameters", "tags"}:
        yield f"{key}: Ray reads only azure_arm_parameters and tags"
    asked = {**node_config.get("azure_arm_parameters", {})}
    zones = asked.pop("availability_zone", "auto")
    if not isinstance(zones, str):
        yield f"availability_zone: {zones!r} is not of type string"
    for key, value in asked.items():
        if key not in parameters or key in FILLED_IN:
            yield f"{key}: no parameter of Ray's template, or one that Ray fills in"
        elif type(value) is not ARM_TYPES[parameters[key]["type"]]:
            yield f"{key}: {value!r} is not of type {parameters[key]['type']}"
    if not re.match(r"Standard_[A-Z]+\d+\w*$", str(asked.get("vmSize"))):
        yield f"vmSize: {asked.get('vmSize')!r} is no size"
    if asked.get("priority", "Regular") not in PRIORITIES:
        yield f"priority: {asked['priority']}: not one of {', '.join(PRIORITIES)}"
    if asked.keys() & {"imagePublisher", "imageOffer", "imageSku", "imageVersion", "imageId"} == set():
        yield "imagePublisher: no image is named"
