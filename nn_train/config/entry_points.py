"""The user's own code, named as ``module:function`` in a config."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from nn_train.errors import RequestError


def call_entry_point(field: str, name: str, **offered: object) -> Any:
    """Import ``module:function`` and call it with those of ``offered`` that its signature names.

    Raises:
        RequestError: the module or the function is missing. What the function itself raises passes through.
    """
    module_name, function_name = name.split(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the user's module exists, but something that it imports does not
        raise RequestError(
            f"{field}: no module {error.name!r}; it is looked up from the folder the job was started in "
            "(for a submitted job: its working directory) and from installed packages"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        place = getattr(module, "__file__", None) or f"the module {module_name}"  # none: built in, or a bare folder
        raise RequestError(f"{field}: {place} has no function {function_name!r}")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise RequestError(f"{field}: {name} is built into Python; name a function written in Python") from error
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return function(**offered)
    return function(**{p.name: offered[p.name] for p in parameters if p.name in offered})
