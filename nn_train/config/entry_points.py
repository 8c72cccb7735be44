"""The user's own code, named as ``module:function`` in a config."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from types import ModuleType
from typing import Any

from nn_train.config.given import definition_of, kept
from nn_train.config.given_digest import HERE
from nn_train.config.options import nearest
from nn_train.config.own_arguments import OWNERS
from nn_train.config.python_source import parsed_source
from nn_train.errors import RequestError

NOTHING: Mapping[str, Any] = {}


def import_module_of(field: str, name: str) -> ModuleType:
    """The module of ``module:function``, imported.

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
            f"{field}: no module {error.name!r}; it is looked up from the folder the job was started in "
            "(for a submitted job: its working directory) and from installed packages"
        ) from error


def call_entry_point(field: str, name: str, args: Mapping[str, Any] = NOTHING, **offered: object) -> Any:
    """Import ``module:function`` and call it with ``args``, and those of ``offered`` that its signature names.

    Raises:
        RequestError: the module or the function is missing, or the function takes other arguments. What it raises
            itself passes through.
    """
    function = function_of(field, name)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise RequestError(f"{field}: {name} is built into Python; name a function written in Python") from error
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return function(**offered, **args)
    by_name = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    is_wrapped = hasattr(function, "__wrapped__")  # who wraps it may give it more
    needed = set() if is_wrapped else {p.name for p in by_name if p.default is p.empty}
    refuse_other_arguments(field, name, [p.name for p in by_name], needed, args, offered)
    return function(**args, **{p.name: offered[p.name] for p in by_name if p.name in offered})


def function_of(field: str, name: str) -> Callable[..., Any]:
    """What ``module:function`` names: kept in this process, or imported. Raises RequestError where there is none."""
    try:
        function = kept(name)
    except RequestError as error:
        raise RequestError(f"{field}: {error}") from None
    if function is not None:
        return function
    module, function_name = import_module_of(field, name), name.partition(":")[2]
    found = getattr(module, function_name, None)
    if not callable(found):
        place = getattr(module, "__file__", None) or f"the module {module.__name__}"  # none: built in, or a bare folder
        raise RequestError(f"{field}: {place} has no function {function_name!r}")
    return found


def compiles_a_model(function: ast.FunctionDef) -> bool:
    """Whether it calls ``compile`` of what it returns, whatever happens."""
    calls = [node.value for node in function.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    methods = [call.func for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "compile"]
    compiled = {method.value.id for method in methods if isinstance(method.value, ast.Name)}
    given = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return bool(given) and all(isinstance(value, ast.Name) and value.id in compiled for value in given)


def compiled_loss(function: ast.FunctionDef) -> str | None:
    """The name or class of the loss that the only ``compile`` in it is given; None where the source does not tell."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    compiles = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "compile"]
    if len(compiles) != 1:
        return None
    by_name = [one.value for one in compiles[0].keywords if one.arg == "loss"]
    loss = next(iter([*by_name, *compiles[0].args[1:2]]), None)
    if isinstance(loss, ast.Constant) and isinstance(loss.value, str):
        return loss.value
    if isinstance(loss, ast.Call) and isinstance(loss.func, ast.Attribute) and loss.func.attr[0].isupper():
        return loss.func.attr
    return None


def read_of_config(function: ast.FunctionDef) -> set[str] | None:
    """The fields of ``config`` that its code reads, such as ``model.dropout``; None where it may be others: where the
    config, or a section of it, goes elsewhere."""
    given = function.args
    if given.kwarg is not None:
        return None
    if "config" not in {one.arg for one in (*given.args, *given.kwonlyargs)}:
        return set()
    every = list(ast.walk(function))
    fields = [node for node in every if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)]
    read = {id(node.value.value): f"{node.value.attr}.{node.attr}" for node in fields}  # type: ignore[attr-defined]
    named = [node for node in every if isinstance(node, ast.Name) and node.id == "config"]
    return {read[id(node)] for node in named} if all(id(node) in read for node in named) else None


def refuse_other_arguments(
    field: str,
    what: str,
    taken: Sequence[str],
    needed: Collection[str],
    args: Collection[str],
    offered: Collection[str],
) -> None:
    """Raise RequestError when a function does not take one of ``args``, or needs what nothing gives.

    Args:
        field: of the function's name, such as ``model.name``.
        what: names the function.
        taken, needed: the names of its arguments, and those without a default.
        args, offered: those that the job gives, and those that every function is offered.
    """
    section = field.partition(".")[0]
    own = [name for name in taken if name not in offered]
    for name in args:
        if name not in taken:
            hint = nearest(name, own) or (f"; it takes: {', '.join(own)}" if own else "; it takes none")
            raise RequestError(f"{section}.args.{name}: {what} takes no argument of that name{hint}")
    missing = [name for name in own if name in needed and name not in args]
    if missing and f"{section}.args" in OWNERS:
        raise RequestError(f"{section}.args: {what} needs {missing[0]}; give --{section}.args.{missing[0]} VALUE")
    if missing and field.startswith("--"):
        raise RequestError(f"{field}: {what} needs {missing[0]}, and is given nothing; let it have a default")


def check_function(field: str, name: str, args: Collection[str] | None = ()) -> None:
    """Refuse a function that the source of its module does not have, or that takes other arguments than ``args``; None:
    it is called with others than these.

    Nothing is imported for it.

    What cannot be told so is left to who calls the function: a module that is not found from here, is not written in
    Python, or gets its names in other ways.

    Raises:
        RequestError: names the file, and a function of it that is spelt alike.
    """
    module_name, function_name = name.split(":")
    if module_name == HERE:
        function_of(field, name)
        definition = plain_function(name)
        if definition is not None and args is not None:
            check_signature(field, name, definition.args, args)
        return
    found = parsed_source(module_name)
    names = None if found is None else top_level_names(found[1])
    if found is None or names is None:
        return
    if function_name not in names:
        raise RequestError(f"{field}: {found[0]} has no function {function_name!r}{nearest(function_name, names)}")
    function = plain_function(name)
    if function is not None and args is not None:
        check_signature(field, f"{name} of {found[0]}", function.args, args)


def plain_function(name: str) -> ast.FunctionDef | None:
    """The definition of ``module:function`` in the source; None where it may be another that is called."""
    module_name, function_name = name.split(":")
    if module_name == HERE:
        return definition_of(function_of("", name))
    found = parsed_source(module_name)
    if found is None or top_level_names(found[1]) is None:
        return None
    defined = [node for node in found[1].body if getattr(node, "name", None) == function_name]
    others = [node for node in ast.walk(found[1]) if isinstance(node, ast.Name | ast.alias)]
    made_anew = any(
        node.asname == function_name or node.name == function_name
        if isinstance(node, ast.alias)
        else node.id == function_name and isinstance(node.ctx, ast.Store)
        for node in others
    )
    if made_anew or len(defined) != 1 or not isinstance(defined[0], ast.FunctionDef) or defined[0].decorator_list:
        return None
    return defined[0]


def check_signature(field: str, what: str, signature: ast.arguments, args: Collection[str]) -> None:
    """``refuse_other_arguments`` by the source of a function."""
    if signature.kwarg is not None or signature.posonlyargs:
        return
    by_place = [one.arg for one in signature.args]
    by_name = {one.arg: default for one, default in zip(signature.kwonlyargs, signature.kw_defaults, strict=True)}
    needed = {
        *by_place[: len(by_place) - len(signature.defaults)],
        *(name for name, at in by_name.items() if at is None),
    }
    offered = OWNERS.get(f"{field.partition('.')[0]}.args", ("", ()))[1]
    refuse_other_arguments(field, what, [*by_place, *by_name], needed, args, offered)


def top_level_names(tree: ast.Module) -> set[str] | None:
    """The names that a module defines, also within ``if`` and ``try``; None where that cannot be told."""
    if any(is_dynamic(node) for node in ast.walk(tree)):
        return None
    names: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.Name):
                names |= {node.id} if isinstance(node.ctx, ast.Store) else set()
            else:
                waiting.append(node)
    return None if names & {"*", "__getattr__"} else names


def is_dynamic(node: ast.AST) -> bool:
    """Whether names can come from here that nobody reads off."""
    if isinstance(node, ast.Name):
        return node.id in ("globals", "locals", "vars", "exec", "eval", "setattr")
    return isinstance(node, ast.Global | ast.Match) or (isinstance(node, ast.Attribute) and node.attr == "modules")
