"""What a call from Python was given itself: functions, models and data that workers could not import by a name.

A config holds names. What a notebook, an interactive session or a function within another has defined gets one here,
``__main__:NAME``. It is kept for this process, and goes to the workers with each job (``ray_cluster/parcels.py``).
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import marshal
import re
import sys
import textwrap
from collections.abc import Callable
from typing import Any

from nn_train.config.python_source import find_source
from nn_train.errors import RequestError

HERE = "__main__"  # the module that everything kept seems to be of
KEPT: dict[str, Callable[..., Any]] = {}


def name_of(function: Callable[..., Any], called: str = "") -> str:
    """The ``module:function`` by which a config names it: what every process can import, else what is kept.

    Args:
        function: what is called where a config names a function.
        called: what it is kept as, where it has no name of its own.
    """
    module, name = getattr(function, "__module__", HERE), getattr(function, "__qualname__", "")
    importable = module != HERE and name.isidentifier() and find_source(module) is not None
    if importable and getattr(sys.modules.get(module), name, None) is function:
        return f"{module}:{name}"
    word = re.sub(r"\W+", "_", called or getattr(function, "__name__", "")).strip("_")
    return keep(word if word.isidentifier() else f"given_{word}".rstrip("_"), function)


def keep(name: str, function: Callable[..., Any]) -> str:
    """Keep it under a name, in the place of what that name stood for; gives ``__main__:NAME``."""
    KEPT[f"{HERE}:{name}"] = function
    return f"{HERE}:{name}"


def kept(name: str) -> Callable[..., Any] | None:
    """What is kept under ``module:function``; None where it is to be imported.

    Raises:
        RequestError: it was given to another process, which may have ended.
    """
    if name in KEPT or not name.startswith(f"{HERE}:"):
        return KEPT.get(name)
    function = getattr(sys.modules[HERE], name.partition(":")[2], None)
    if callable(function):
        return function  # of the script or session that this process runs
    raise RequestError(
        f"{name} was defined in a session or script that is not this one; do it there, or put the function into a "
        "module and name it as module:function"
    )


def digest_of(function: Callable[..., Any]) -> str:
    """Of its code: SHA-256 of its own ``digest``, of its source, or of what it is compiled to."""
    own = getattr(function, "digest", None)
    if isinstance(own, str):
        return own
    try:
        content = inspect.getsource(function).encode()
    except (OSError, TypeError):
        compiled = getattr(function, "__code__", None)
        content = type(function).__name__.encode() if compiled is None else marshal.dumps(compiled)
    return hashlib.sha256(content).hexdigest()


def definition_of(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """Its source; None where there is none to be had, or another function is called in its place."""
    if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
        return None
    try:
        (found,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, SyntaxError, ValueError):
        return None
    return found if isinstance(found, ast.FunctionDef) and not found.decorator_list else None
