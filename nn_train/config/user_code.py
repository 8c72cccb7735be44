"""The user's modules: where this process finds them, and what lies in them."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from modulefinder import Module, ModuleFinder
from pathlib import Path
from typing import IO, Any

PACKAGE = __name__.partition(".")[0]
BARE: Any = ("", "", -1)  # in the place of a kind of file of ModuleFinder's: a folder without ``__init__.py``


def find_source(module_name: str) -> ModuleSpec | None:
    """Return where a module is; unlike ``importlib.util.find_spec`` this does not import the packages that it is in."""
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
    """Return whether a file or folder belongs to Python, or to what is installed: here, in another environment that
    this one sees, on the machine, or in the user's home."""
    here, paths = Path(path).resolve(), sysconfig.get_paths()
    libraries = [Path(paths[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    within = any(library in (here, *here.parents) for library in libraries)
    return within or bool({"site-packages", "dist-packages"} & set(here.parts))


def own_paths() -> list[str]:
    """Return where this process looks up the user's modules: the folders of ``sys.path`` that are no library."""
    return [os.path.abspath(path) for path in sys.path if os.path.isdir(path or ".") and not is_library(path or ".")]


def user_modules() -> list[str]:
    """Return the names of the modules that lie in these folders."""
    return [file.stem for path in own_paths() for file in Path(path).glob("*.py")]


class Finder(ModuleFinder):
    """Finds no libraries, but packages that are folders without ``__init__.py``."""

    def find_module(
        self, name: str, path: str | None, parent: Module | None = None
    ) -> tuple[IO[Any] | None, str | None, tuple[str, str, int]]:
        spec = PathFinder.find_spec(name, path)
        folders = list(spec.submodule_search_locations or []) if spec is not None else []
        if spec is None or is_library(spec.origin or folders[0]):
            raise ImportError(name)
        return super().find_module(name, path, parent) if spec.origin else (None, folders[0], BARE)

    def load_module(self, name: str, file: IO[str], path: str, about: tuple[str, str, str]) -> Module:
        if about is not BARE:
            return super().load_module(name, file, path, about)
        module = self.add_module(name)
        vars(module)["__path__"] = [path]
        return module


def files_of(modules: Iterable[str]) -> dict[str, Path]:
    """Return the files of the user's modules among these, and of those that they import, by module.

    Nothing is imported for it. What is imported under a name that is made while it runs is not found.
    """
    finder = Finder(excludes=[PACKAGE])
    for module in modules:
        with contextlib.suppress(ImportError, SyntaxError, ValueError):  # who imports it says what is wrong
            finder.import_hook(module)
    found = {name: vars(one)["__file__"] for name, one in sorted(finder.modules.items())}
    return {name: Path(file) for name, file in found.items() if file is not None}
