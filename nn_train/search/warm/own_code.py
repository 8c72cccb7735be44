"""What code of the user's can read besides its arguments: told by the names that stand in it."""

from __future__ import annotations

import dis
import functools
import itertools
import re
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# Of these a name tells what is called: they keep nothing that changes what they compute, but for random generators, at
# which ``own_state.py`` looks.
LIBRARIES = {"keras", "tensorflow", "numpy"}
STANDARD = {"abc", "builtins", "collections", "dataclasses", "functools", "itertools", "math", "operator", "typing"}
STANDARD |= {"enum", "logging", "warnings"}
# Through these a function gets at what is not named in it.
REACHES_ANYTHING = {"globals", "eval", "exec", "__import__", "__globals__", "__builtins__", "__subclasses__", "raw_ops"}
REACHES_ANYTHING |= {"init_scope"}  # where a variable is read while a graph is traced
# Through these at attributes that are not named in it.
REACHES_ATTRIBUTES = {"getattr", "attrgetter", "vars", "__dict__", "__getattribute__", "get_config"}
REACHES_ATTRIBUTES |= {"__getstate__", "__reduce__", "__reduce_ex__", "astuple", "asdict", "methodcaller"}
REACHES_ATTRIBUTES |= {"to_json", "serialize_keras_object", "serialize", "clone_model"}
TRACED = "tf.function"  # among the words of who has one
# Methods of Keras' objects that run when a model is made, not in its steps.
MAKING = {"__init__", "build", "compile", "get_config", "from_config"}

# Instructions about globals; those of names are found in the body of a class.
OF_VARIABLES = re.compile(r"_GLOBAL|(?<!IMPORT)_NAME$")

FORMATTED = re.compile(r"\.(\w+)")  # an attribute in a text for ``format``

_numbers = itertools.count()


@dataclass(frozen=True)
class Code:
    """What stands in a function, and in those that it defines.

    Attributes:
        number: the same for the same code, in this process.
        variables: the globals that it reads or sets.
        names: these, and the attributes.
        words: these, and the texts in it.
        imports: the modules that it imports where it runs.
        changed: the globals of which it sets an attribute, or one of an attribute.
    """

    number: int
    variables: frozenset[str]
    names: frozenset[str]
    words: frozenset[str]
    imports: frozenset[str]
    changed: frozenset[str]


@functools.cache
def read(code: types.CodeType) -> Code:
    """What stands in ``code``; kept, since a search asks for every trial."""
    every = list(nested(code))
    names = frozenset(name for one in every for name in one.co_names)
    texts = {text for one in every for text in texts_in(one.co_consts)}
    texts |= {name for text in texts for name in FORMATTED.findall(text)}
    steps = [step for one in every for step in dis.get_instructions(one)]
    imports = frozenset(str(step.argval) for step in steps if step.opname == "IMPORT_NAME")
    variables = frozenset(str(step.argval) for step in steps if OF_VARIABLES.search(step.opname))
    return Code(next(_numbers), variables, names, names | texts, imports, frozenset(changed_in(steps)))


def nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from nested(one)


def changed_in(steps: Iterable[dis.Instruction]) -> Iterator[str]:
    root: str | None = None  # of the attributes that were loaded last
    for step in steps:
        if step.opname == "STORE_ATTR" and root is not None:
            yield root
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            root = str(step.argval)
        elif step.opname != "LOAD_ATTR":
            root = None


def texts_in(constants: tuple[object, ...] | frozenset[object]) -> Iterator[str]:
    for one in constants:
        if isinstance(one, str):
            yield one
        elif isinstance(one, tuple | frozenset):
            yield from texts_in(one)


def is_library(module: str | None) -> bool:
    """Whether of what is defined in ``module`` its name tells all."""
    root = str(module).partition(".")[0]
    return root in LIBRARIES or root.removeprefix("_") in STANDARD


def is_users(module: str | None) -> bool:
    """Whether ``module`` is written in Python and may be read: neither a library's, nor Python's own, nor compiled."""
    name = str(module)
    if is_library(name) or name.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return name == "__main__" or str(file).endswith(".py")
