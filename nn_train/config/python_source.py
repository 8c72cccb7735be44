"""The source of modules, without importing them."""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path


def parsed_source(module_name: str) -> tuple[str, ast.Module] | None:
    """The file of a module and what is written there; None where there is no such file of Python's."""
    spec = find_source(module_name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        with open(spec.origin, "rb") as file:
            return spec.origin, ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return None


def find_source(module_name: str) -> ModuleSpec | None:
    """Where a module is; unlike ``importlib.util.find_spec`` this does not import the packages that it is in."""
    spec, path, parts = None, None, module_name.split(".")
    for count in range(1, len(parts) + 1):
        try:
            spec = PathFinder.find_spec(".".join(parts[:count]), path)
        except KeyError:  # a folder without __init__.py in a package that is not imported
            return None
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec


def is_library(path: str) -> bool:
    """Whether a file or folder belongs to Python, or to what is installed: here, in another environment that this one
    sees, on the machine, or in the user's home."""
    here, paths = Path(path).resolve(), sysconfig.get_paths()
    libraries = [Path(paths[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    within = any(library in (here, *here.parents) for library in libraries)
    return within or bool({"site-packages", "dist-packages"} & set(here.parts))


def own_paths() -> list[str]:
    """Where this process looks up the user's modules: the folders of ``sys.path`` that are no library."""
    return [os.path.abspath(path) for path in sys.path if os.path.isdir(path or ".") and not is_library(path or ".")]
