"""``docs/private_names.md`` names every private name of another package that is used, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("nn_train", "jobs", "cluster", "benchmarks")
PRIVATE = re.compile(r"_(?!_)\w+|src|python")  # of a module's path; `tensorflow.python` is not public
Name = tuple[str, str]  # what is used, and the file


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def imported(tree: ast.AST) -> Iterator[str]:
    """``module:name`` of what is imported from a private module, or is private itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            hidden = any(PRIVATE.fullmatch(part) for part in node.module.split("."))
            yield from (f"{node.module}:{one.name}" for one in node.names if hidden or is_private(one.name))
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names if any(PRIVATE.fullmatch(part) for part in one.name.split(".")))


def own(tree: ast.AST) -> set[str]:
    """Private names of classes without a base, and of no class: they cannot override or be anybody else's."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    derived = {id(inner) for one in classes if one.bases for inner in ast.walk(one)}
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and id(node) not in derived]
    stored = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in derived
    ]
    attributes = [node.attr for node in stored if isinstance(node, ast.Attribute) and is_self(node.value)]
    return {
        *(node.name for node in functions),
        *attributes,
        *(node.id for node in stored if isinstance(node, ast.Name)),
    }


def is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def used(tree: ast.AST) -> Iterator[str]:
    """Private attributes that are read, set or ``replaced``, and private methods that are overridden."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "replaced":
            yield from (one.value for one in node.args[1:2] if isinstance(one, ast.Constant))


def names_in(text: str) -> set[str]:
    """The private names of others in a module's text."""
    tree = ast.parse(text)
    modules = {part for name in imported(tree) for part in re.split(r"[.:]", name)}
    attributes = {name for name in used(tree) if is_private(name)} - own(tree) - modules
    return {*imported(tree), *attributes}


def registered() -> set[Name]:
    rows = [
        line.split("|")[1:3] for line in (ROOT / "docs/private_names.md").read_text().splitlines() if "`" in line[:4]
    ]
    return {
        (name, file)
        for names, files in rows
        for name in re.findall(r"`([^`]+)`", names)
        for file in re.findall(r"`([^`]+)`", files)
    }


def test_every_private_name_of_others_is_registered_and_nothing_else():
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    found = {(name, str(file.relative_to(ROOT))) for file in files for name in names_in(file.read_text())}
    assert len(found) > 50
    assert sorted(found - registered()) == [], "not in docs/private_names.md"
    assert sorted(registered() - found) == [], "not used any more"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from ray._private.node import Node", {"ray._private.node:Node"}),
        ("class Ours(Theirs):\n    def _step(self): pass", {"_step"}),
        ("class Ours:\n    def __init__(self): self._own = 1\n    def read(self): return self._own", set()),
    ],
)
def test_what_is_private_is_found(text, found):
    assert names_in(text) == found
