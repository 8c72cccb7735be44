"""KubeRay's definitions as JSON schemas that find what the API server would drop in silence: unknown fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator


def read_validator(definition: Path) -> Draft202012Validator:
    """The strict validator for ``v1`` of a CustomResourceDefinition."""
    versions = yaml.load(definition.read_text(), yaml.CSafeLoader)["spec"]["versions"]
    (schema,) = [version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == "v1"]
    schema = strict(schema)
    schema["properties"]["metadata"]["required"] = ["name"]
    return Draft202012Validator(schema)


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` without leave to add fields; fields with a default may be left out, as the API server fills them."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"], **{key: schema[key] for key in ("pattern",) if key in schema}}
    made = dict(schema)
    if schema.get("nullable"):
        made["type"] = [schema["type"], "null"]
    if "items" in schema:
        made["items"] = strict(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = strict(schema["additionalProperties"])
    if "properties" in schema:
        fields = schema["properties"]
        made["properties"] = {name: strict(field) for name, field in fields.items()}
        made["required"] = [name for name in schema.get("required", ()) if "default" not in fields[name]]
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    return made
