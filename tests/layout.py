"""The rooms of ``nn_train`` and what each may import; run as a script, prints the drawing of ``docs/layout.md``."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "nn_train"
ROOM = "nn_train"
# A room, and the rooms it knows.
KNOWS = {
    "errors": "",
    "config": "errors",
    "events": "config",
    "storage": "config errors",
    "datasets": "config errors storage",
    "engine": "config datasets errors",
    "runs": "config datasets engine errors events storage",
    "ray_cluster": "config engine errors storage",
    "training": "config engine errors events ray_cluster runs storage",
    "search": "config datasets engine errors events ray_cluster runs storage",
    "evaluation": "errors storage",
    "report": "errors evaluation storage",
    "prediction": "config datasets engine errors evaluation ray_cluster report storage",
    "pipeline": "config errors events prediction ray_cluster runs search storage training",
    "doctor": "config errors ray_cluster storage",
    "run": "config engine errors events ray_cluster training",
    "jobs": "config datasets doctor engine errors evaluation events pipeline prediction ray_cluster run runs "
    "search storage training",
}
WITH_RAY = {"ray_cluster", "training", "run", "search", "prediction", "doctor"}
WITH_TENSORFLOW = {"engine", "runs", "search", "prediction", "datasets", "jobs", "run"}


@functools.cache
def modules() -> dict[str, Path]:
    """Every module by its dotted name below the package, which itself is the empty one."""
    named = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return named


def imports(file: Path) -> Iterator[str]:
    """What a file imports, at its top or in a function: dotted names, of which the last part may be no module."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def arrows() -> dict[str, set[str]]:
    """For every module those that it imports. The package's own file is a front door, which imports when asked."""
    known = modules()

    def module_of(name: str) -> str:
        path = name.partition(".")[2]
        while path and path not in known:
            path = path.rpartition(".")[0]
        return path

    return {
        module: {module_of(name) for name in imports(file) if name.split(".")[0] == ROOM} - {module, ""}
        for module, file in known.items()
        if module
    }


def above(room: str) -> set[str]:
    """The rooms that a room knows, and those that these know."""
    direct = set(KNOWS[room].split())
    return direct.union(*(above(one) for one in direct))


def drawing() -> str:
    """A line a room: what it is, and of the rooms it knows those that no other of them stands on."""
    lines = []
    for room in KNOWS:
        direct = KNOWS[room].split()
        nearest = [one for one in direct if not any(one in above(other) for other in direct)]
        file = PACKAGE / room / "__init__.py" if (PACKAGE / room).is_dir() else PACKAGE / f"{room}.py"
        says = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]
        lines.append(f"{room:<12} {says}\n{'':<12} {'← ' + ', '.join(nearest) if nearest else ''}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    print(drawing())
