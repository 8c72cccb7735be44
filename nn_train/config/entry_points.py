"""The user's functions, named as ``module:function`` in a config: imported, or kept in this process.

A config holds names. What a notebook, an interactive session or a function within another has defined gets one here,
``__main__:NAME``. It is kept for this process, and goes to the workers with each job (``serialization.py``).
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Collection, Mapping
from types import ModuleType
from typing import Any

from nn_train.config.function_digest import HERE, digest_of
from nn_train.config.options import DIGEST, OWNERS, nearest
from nn_train.config.tracebacks import own_traceback
from nn_train.config.user_code import find_source, user_modules
from nn_train.errors import RequestError, TrainingError

NOTHING: Mapping[str, Any] = {}
KEPT: dict[str, Callable[..., Any]] = {}


def name_of(function: Callable[..., Any], role: str) -> str:
    """Return the ``module:function`` by which a config names it: what every process can import, else what is kept.

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
    kept_as = f"{HERE}:{named if named.isidentifier() else f'{role}_{digest_of(function)[:DIGEST]}'}"
    KEPT[kept_as] = function  # in the place of what that name stood for
    return kept_as


def kept(name: str, before: str = "") -> Callable[..., Any] | None:
    """Return what is kept under ``module:function``; None where it is to be imported. ``before``: an error begins so.

    Raises:
        RequestError: it was given to another process, which may have ended.
    """
    if name in KEPT or not name.startswith(f"{HERE}:"):
        return KEPT.get(name)
    function = getattr(sys.modules[HERE], name.partition(":")[2], None)
    if callable(function):
        return function  # of the script or session that this process runs
    raise RequestError(
        f"{before}{name} was defined in a session or script that is not this one; do it there, or put the function "
        "into a module and name it as module:function"
    )


def import_module_of(field: str, name: str) -> ModuleType:
    """Import the module of ``module:function``.

    Raises:
        RequestError: there is none. What it raises itself passes through, also for a module that it imports.
    """
    module_name = name.partition(":")[0]
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the user's module exists, but something that it imports does not
        raise RequestError(
            f"{field}: {name}: there is no module {error.name!r} here{nearest(error.name, user_modules())}; start this "
            "in the folder that has it (for a submitted job: its working directory), or set PYTHONPATH to that"
        ) from error


def function_of(field: str, name: str) -> Callable[..., Any]:
    """Return what ``module:function`` names: kept in this process, or imported.

    Raises:
        RequestError: there is none. What its module raises passes through.
    """
    function = kept(name, f"{field}: ")
    if function is not None:
        return function
    module, function_name = import_module_of(field, name), name.partition(":")[2]
    found = getattr(module, function_name, None)
    if not callable(found):
        place = getattr(module, "__file__", None) or f"the module {module.__name__}"  # none: built in, or a bare folder
        raise RequestError(f"{field}: {place} has no function {function_name!r}{nearest(function_name, vars(module))}")
    return found


def call_entry_point(field: str, name: str, args: Mapping[str, Any] = NOTHING, **offered: object) -> Any:
    """Import ``module:function`` and call it with ``args``, and those of ``offered`` that its signature names.

    Raises:
        RequestError: the module or the function is missing, or the function takes other arguments. What it raises
            itself passes through.
    """
    function = function_of(field, name)
    taken = taken_of(function, field, name, args, offered)
    return function(**args, **{key: value for key, value in offered.items() if taken is None or key in taken})


def taken_of(
    function: Callable[..., Any], field: str, name: str, args: Collection[str], offered: Collection[str]
) -> list[str] | None:
    """Return the arguments that a function takes by name; None for any.

    Args:
        field: of the function's name, such as ``model.name``.
        args, offered: the arguments that the job gives, and those that every such function is offered.

    Raises:
        RequestError: it does not take one of ``args``, or needs what nothing gives.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise RequestError(f"{field}: {name} is built into Python; name a function written in Python") from error
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    taken = {one.name: one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    own, section = [one for one in taken if one not in offered], field.partition(".")[0]
    for key in args:
        if key not in taken:
            hint = nearest(key, own) or (f"; it takes: {', '.join(own)}" if own else "; it takes none")
            raise RequestError(f"{section}.args.{key}: {name} takes no argument of that name{hint}")
    missing = [one for one in own if taken[one].default is inspect.Parameter.empty and one not in args]
    if missing and not hasattr(function, "__wrapped__"):  # who wraps it may give it more
        if f"{section}.args" in OWNERS:
            raise RequestError(f"{section}.args: {name} needs {missing[0]}; give --{section}.args.{missing[0]} VALUE")
        if field.startswith("--"):
            raise RequestError(f"{field}: {name} needs {missing[0]}, and is given nothing; let it have a default")
    return list(taken)


def check_function(field: str, name: str, args: Collection[str] | None = ()) -> None:
    """Import the user's function in the driver, and refuse other arguments than it takes, before Ray starts.

    Args:
        args: the names of the arguments that the job gives; None where it is called by position.

    Raises:
        RequestError: there is no such function, or it takes other arguments.
        TrainingError: its module cannot be imported. With RAY_ADDRESS that is left to the workers: they may have
            modules and files that are not here.
    """
    try:
        function = function_of(field, name)
    except Exception as error:  # whatever the user's module raises
        if "RAY_ADDRESS" in os.environ and not name.startswith(f"{HERE}:"):
            return
        if isinstance(error, RequestError):
            raise
        raise TrainingError(f"{field}: {name} cannot be imported:\n{own_traceback(error)}") from None
    if args is not None:
        taken_of(function, field, name, args, OWNERS.get(f"{field.partition('.')[0]}.args", ("", ()))[1])
