"""Imports of other packages that wait until something of them is wanted."""

from __future__ import annotations

import contextlib
import pkgutil
import sys
import types
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec


class Later(types.ModuleType):
    """Stands for a module, or for something in it, which is imported when it is used."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # the import system looks at it
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:  # from matplotlib import patches
            return Later(f"{self.__name__}.{name}")
        return getattr(pkgutil.resolve_name(self.__name__), name)

    def __call__(self, *arguments: object, **named: object) -> object:
        return pkgutil.resolve_name(self.__name__)(*arguments, **named)

    def __instancecheck__(self, instance: object) -> bool:
        """Of a class; where its package is not imported, nothing is an instance of it."""
        package = self.__name__.partition(".")[0]
        return package in sys.modules and isinstance(instance, pkgutil.resolve_name(self.__name__))


class Finder:
    """Finds stand-ins for packages and all that is in them."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if any(f"{name}.".startswith(f"{package}.") for package in self.packages):
            return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: ModuleSpec) -> Later:
        return Later(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing: it is made."""


@contextlib.contextmanager
def left_out(*packages: str, absent: Sequence[str] = ()) -> Iterator[None]:
    """Meanwhile these packages are not really imported, and those that are ``absent`` seem not to be installed.

    What is imported already stays. Whatever imports them afterwards gets them.
    """
    finder = Finder([name for name in packages if name not in sys.modules])
    without = [name for name in absent if name not in sys.modules]
    sys.meta_path.insert(0, finder)
    sys.modules.update(dict.fromkeys(without))  # type: ignore[arg-type]
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in without:
            del sys.modules[name]
        for name in [name for name, module in sys.modules.items() if isinstance(module, Later)]:
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            if isinstance(vars(sys.modules.get(parent, finder)).get(child), Later):
                delattr(sys.modules[parent], child)
