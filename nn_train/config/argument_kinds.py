"""Whether a value can be what a function's argument is: by its annotation, or by the number that it has by itself.

Only what is surely wrong is refused: a text for a number, a broken number for a whole one, a list for one value.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nn_train.config.entry_points import plain_function
from nn_train.config.options import is_entry_point
from nn_train.config.space import By, Domain, Space, samples
from nn_train.errors import RequestError

if TYPE_CHECKING:
    from nn_train.config.schema import Config

WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text", "None": "none"}
BROKEN_TOO = {"float", "str"}  # that take numbers which are not whole
LIKE_A_NUMBER = re.compile(r"[+-]?\.?\d")


def check_kinds(owner: str, function: str, given: Iterable[tuple[str, Any]]) -> None:
    """Refuse values that arguments of ``function``, a ``module:function``, cannot have; nothing is imported.

    Args:
        owner: ``model.args`` or ``data.args``.
        given: names and values.

    Raises:
        RequestError: names the argument, the value and what is wanted.
    """
    arguments = dict(arguments_of(function))
    for name, value in given:
        argument, default = arguments.get(name, (None, None))
        wanted = kinds_of(argument.annotation) if argument is not None else None
        if wanted and not fits(value, wanted):
            raise RequestError(f"{owner}.{name}: {value!r} is not {in_words(wanted)}, which {function} takes")
        if wanted is None and is_number(default) and isinstance(value, str) and LIKE_A_NUMBER.match(value):
            raise RequestError(
                f"{owner}.{name}: {value!r} is not a number, as what {function} has by itself; if it may be a text, "
                "annotate the argument so"
            )


def check_kinds_of_space(config: Config, space: Space) -> None:
    """The same for the values that a search gives to arguments."""
    for owner, of, function in (
        ("model.args", "model.name", config.model.name),
        ("data.args", "data.source", config.data.source),
    ):
        if not is_entry_point(function) or of in space:
            continue
        arguments = dict(arguments_of(function))
        for field in [field for field in space if field.startswith(f"{owner}.")]:
            name, spec = field.rpartition(".")[2], space[field]
            wanted = kinds_of(arguments[name][0].annotation) if name in arguments else None
            if wanted and wanted.isdisjoint(BROKEN_TOO) and draws_broken_numbers(spec):
                raise RequestError(
                    f"search.space.{field}: {function} takes {in_words(wanted)}; take integer, log_integer or choice"
                )
            given = [(name, values[field]) for values in samples(field, space)]
            check_kinds(f"search.space.{owner}", function, given)


def draws_broken_numbers(spec: object) -> bool:
    branches = [branch for _, branch in spec.branches] if isinstance(spec, By) else [spec]
    ranges = [one for one in branches if isinstance(one, Domain) and one.kind in ("uniform", "loguniform", "quantized")]
    return any(one.kind != "quantized" or not float(one.values[2]).is_integer() for one in ranges)


def in_words(wanted: set[str]) -> str:
    return " or ".join(words for kind, words in WORDS.items() if kind in wanted)


def arguments_of(function: str) -> Iterable[tuple[str, tuple[ast.arg, ast.expr | None]]]:
    """The arguments that can be given by name, and the defaults in the source; none where that does not tell."""
    definition = plain_function(function)
    if definition is not None:
        yield from ((argument.arg, (argument, default)) for argument, default in with_defaults(definition.args))


def with_defaults(signature: ast.arguments) -> Iterable[tuple[ast.arg, ast.expr | None]]:
    by_place = signature.args
    defaults: list[ast.expr | None] = [None] * (len(by_place) - len(signature.defaults))
    yield from zip(by_place, [*defaults, *signature.defaults], strict=True)
    yield from zip(signature.kwonlyargs, signature.kw_defaults, strict=True)


def kinds_of(annotation: ast.expr | None) -> set[str] | None:
    """Of ``int``, ``float | None``, ``Optional[int]``, ``"int"``: which of ``WORDS``; None for any other annotation."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return kinds_of(ast.parse(annotation.value, mode="eval").body)
        except SyntaxError:
            return None
    if isinstance(annotation, ast.Constant):
        return {"None"} if annotation.value is None else None
    if isinstance(annotation, ast.Name):
        return {annotation.id} if annotation.id in WORDS else None
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return together([annotation.left, annotation.right])
    if isinstance(annotation, ast.Subscript):
        name = getattr(annotation.value, "attr", getattr(annotation.value, "id", ""))
        inner = annotation.slice
        if name == "Optional":
            return together([inner, ast.Constant(None)])
        if name == "Union" and isinstance(inner, ast.Tuple):
            return together(inner.elts)
    return None


def together(annotations: Iterable[ast.expr]) -> set[str] | None:
    every = [kinds_of(one) for one in annotations]
    known = [one for one in every if one is not None]
    return set().union(*known) if len(known) == len(every) else None


def fits(value: object, wanted: set[str]) -> bool:
    """None fits: many write ``width: int = None``. Numbers fit where a text is wanted: YAML reads one so."""
    if isinstance(value, list | tuple):
        return False
    if isinstance(value, str):
        return "str" in wanted
    if isinstance(value, float) and not value.is_integer():
        return not wanted.isdisjoint(BROKEN_TOO)
    return True


def is_number(default: ast.expr | None) -> bool:
    inner = default.operand if isinstance(default, ast.UnaryOp) else default
    return isinstance(inner, ast.Constant) and type(inner.value) in (int, float)
