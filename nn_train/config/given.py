"""What a call from Python was given itself: functions, models and data that workers could not import by a name.

A config holds names. What a notebook, an interactive session or a function within another has defined gets one here,
``__main__:NAME``. It is kept for this process, and goes to the workers with each job (``ray_cluster/parcels.py``).
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from typing import Any

from nn_train.config.given_digest import HERE, digest_of, source_of
from nn_train.config.python_source import find_source
from nn_train.errors import RequestError

DIGITS = 8  # of a digest in a name
KEPT: dict[str, Callable[..., Any]] = {}


def name_of(function: Callable[..., Any], role: str) -> str:
    """The ``module:function`` by which a config names it: what every process can import, else what is kept.

    Args:
        function: what is called where a config names a function.
        role: what it gives, such as ``model``. What has no name of its own is called so, with its digest: then another
            one is another job.
    """
    module, name = getattr(function, "__module__", HERE), getattr(function, "__qualname__", "")
    importable = module != HERE and name.isidentifier() and find_source(module) is not None
    if importable and getattr(sys.modules.get(module), name, None) is function:
        return f"{module}:{name}"
    named = getattr(function, "__name__", "")
    return keep(named if named.isidentifier() else f"{role}_{digest_of(function)[:DIGITS]}", function)


def word_of(name: str) -> str:
    """What a function is called, without the digest: for the name of a run."""
    return re.sub(rf"_[0-9a-f]{{{DIGITS}}}$", "", name.rpartition(":")[2])


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


def definition_of(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """Its source; None where there is none to be had, or another function is called in its place."""
    if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
        return None
    try:
        (found,) = ast.parse(textwrap.dedent(source_of(function))).body
    except (OSError, SyntaxError, ValueError):
        return None
    return found if isinstance(found, ast.FunctionDef) and not found.decorator_list else None
