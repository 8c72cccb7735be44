"""Which names and texts stand in code of the user's where it runs in steps, and not only when a model is made."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any

from nn_train.search.warm.known_parts import is_of_keras
from nn_train.search.warm.own_code import MAKING, TRACED, Code, is_users


class OwnWords:
    """Is told of the classes and functions that a model has."""

    def __init__(self) -> None:
        self.of_steps: set[str] = set()
        self.of_making: set[str] = set()
        self.making: set[int] = set()  # functions
        self.makes_in_steps = False

    def all(self) -> frozenset[str]:
        """Those of steps; with those of what makes parts, where steps may do that too."""
        makes = self.makes_in_steps or not (MAKING | {"type", "__class__"}).isdisjoint(self.of_steps)
        return frozenset(self.of_steps | self.of_making if makes else self.of_steps)

    def add_class(self, kind: type) -> None:
        """Before its functions are."""
        if is_of_keras(kind):
            self.making |= {id(function) for name, function in vars(kind).items() if name in MAKING}
        self.add_values(vars(kind).values())

    def add_function(self, function: types.FunctionType, code: Code) -> None:
        if id(function) in self.making:
            self.of_making |= code.words
            return
        self.of_steps |= code.words
        named = [function.__globals__[name] for name in code.variables & function.__globals__.keys()]
        modules = [vars(value) for value in named if isinstance(value, types.ModuleType) and is_users(value.__name__)]
        self.add_values([*named, *(module.get(name) for module in modules for name in code.names)])
        enclosed = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        self.add_values(cell.cell_contents for name, cell in enclosed if name != "__class__")  # that of ``super()``

    def add_traced(self) -> None:
        """A ``tf.function``: what it was traced with stays in it, such as the rate that a layer had then."""
        self.of_steps.add(TRACED)

    def add_values(self, values: Iterable[Any]) -> None:
        """What steps can reach: classes, of which they could make parts."""
        self.makes_in_steps |= any(is_own_kind(value) for value in values)


def is_own_kind(one: object) -> bool:
    """Whether something is a class of the user's for Keras."""
    return isinstance(one, type) and is_users(one.__module__) and is_of_keras(one)
