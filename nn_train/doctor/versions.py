"""Whether all nodes run the same programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nn_train.doctor.findings import Finding, judged
from nn_train.doctor.nodes import Node, ask

PACKAGES = ("ray", "tensorflow", "keras")
HERE = "the driver"
ADVICE = (
    "install the same versions everywhere: requirements.lock on every machine, or one image; nn_train also comes with "
    "a job's working directory (ray job submit --working-dir .)"
)


def check_versions(nodes: Sequence[Node]) -> Finding:
    answers = ask(nodes, installed)
    versions = {HERE: installed(), **answers.values}
    otherwise = ", ".join(f"{name} {version}" for name, version in versions[HERE].items())
    return judged("versions", [*answers.complaints(), *differences(versions)], otherwise, ADVICE)


def installed() -> dict[str, str]:
    """Versions by name. Nothing heavy is imported."""
    import importlib.metadata
    import platform

    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "missing"
    try:
        import nn_train

        # Of the working directory, where that is not what is installed; a folder without files can be imported too.
        found["nn_train"] = getattr(nn_train, "__version__", "missing")
    except ImportError:
        found["nn_train"] = "missing"
    return found


def differences(versions: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A line for every package that is missing somewhere or not the same.

    Args:
        versions: by place, then by package. The first place is the one that the others are compared with.
    """
    first, *others = versions.values()
    lines = []
    for package, version in first.items():
        if version == "missing" or any(other[package] != version for other in others):
            places: dict[str, list[str]] = {}
            for place, found in versions.items():
                places.setdefault(found[package], []).append(place)
            lines.append(f"{package}: " + "; ".join(f"{found} on {', '.join(on)}" for found, on in places.items()))
    return lines
