"""What a function that a call was given is made of, as SHA-256: another one must not pass for the same."""

from __future__ import annotations

import functools
import hashlib
import inspect
import marshal
import pickle
from collections.abc import Callable
from types import CodeType, FunctionType, MethodType
from typing import Any, Protocol

HERE = "__main__"


class Hash(Protocol):
    """One of ``hashlib``."""

    def update(self, content: bytes, /) -> None: ...


def digest_of(function: Callable[..., Any]) -> str:
    """Of its source, or of what it is compiled to, with its defaults and what it takes from around it.

    What it refers to of a session (names of ``__main__``, of the function that it was defined in) counts with its
    value. An object that has a ``digest`` says it itself.
    """
    own = getattr(function, "digest", None)
    if isinstance(own, str):
        return own
    seen = hashlib.sha256()
    add(function, seen, set())
    return seen.hexdigest()


def add(value: object, seen: Hash, within: set[int]) -> None:
    """Add a value to a hash; ``within``: the identities of what is being added already."""
    if id(value) in within:
        return
    within = within | {id(value)}
    seen.update(type(value).__qualname__.encode())
    if isinstance(value, functools.partial):
        for part in (value.func, value.args, sorted(value.keywords.items())):
            add(part, seen, within)
    elif isinstance(value, MethodType):
        add(value.__func__, seen, within)
        add(value.__self__, seen, within)
    elif isinstance(value, FunctionType):
        add_function(value, seen, within)
    elif inspect.isclass(value):
        add_class(value, seen, within)
    elif isinstance(value, list | tuple):
        for part in value:
            add(part, seen, within)
    elif isinstance(value, dict):
        for key in value:
            add(key, seen, within)
            add(value[key], seen, within)
    elif not inspect.ismodule(value):
        add_object(value, seen, within)


def add_function(function: FunctionType, seen: Hash, within: set[int]) -> None:
    try:
        seen.update(source_of(function).encode())
    except (OSError, TypeError):
        seen.update(marshal.dumps(without_places(function.__code__), 2))
    add((function.__defaults__, function.__kwdefaults__), seen, within)
    around = inspect.getclosurevars(function)
    add(sorted(around.nonlocals.items()), seen, within)
    if function.__module__ == HERE:
        add(sorted(around.globals.items()), seen, within)


def source_of(function: FunctionType) -> str:
    """OSError where there is none to be had. That of ``<string>`` is not taken: from Python 3.13 on it is the text of
    ``python -c``, also for what ``exec`` has made of another one."""
    if function.__code__.co_filename == "<string>":
        raise OSError("made by exec or python -c")
    return inspect.getsource(function)


def add_class(kind: type, seen: Hash, within: set[int]) -> None:
    seen.update(f"{kind.__module__}.{kind.__qualname__}".encode())
    if kind.__module__ == HERE:
        for name, part in sorted(vars(kind).items()):
            if isinstance(part, FunctionType):
                seen.update(name.encode())
                add_function(part, seen, within)


def add_object(value: object, seen: Hash, within: set[int]) -> None:
    """By its content where it has one that can be told, else by its kind."""
    add_class(type(value), seen, within)
    try:
        seen.update(pickle.dumps(value, 4))
    except Exception:  # of whatever object it holds
        add(sorted(getattr(value, "__dict__", {}).items()), seen, within)


def without_places(code: CodeType) -> CodeType:
    """Without the file and the lines, which say nothing of what it does."""
    inner = tuple(without_places(one) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_filename="", co_firstlineno=1, co_consts=inner)
