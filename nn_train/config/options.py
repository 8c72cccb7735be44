"""What a field of a section carries besides its type: default, meaning, unit, range; and the checks of these."""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

from nn_train.errors import RequestError

# ``model.args`` and ``data.args``: of which function they are the arguments, and what every such function is offered.
OWNERS = {
    "model.args": ("model.name", ("config", "input_shape", "num_classes")),
    "data.args": ("data.source", ("config",)),
}
ARGUMENTS = (*OWNERS, "optimizer.args")  # mappings of which each entry is a field: ``model.args.depth``
DIGEST = 8  # digits of a digest in a name
BOUNDS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "maximum": ("at most", operator.le),
    "below": ("below", operator.lt),
}
EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")  # a number for everybody but YAML 1.1


def option(
    default: object,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    entry_point: bool = False,
    keras: str = "",
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
) -> Any:
    """A dataclass field that carries its own documentation and range.

    Args:
        default: used when neither the job file nor the command line names the field.
        help: meaning and unit, shown by ``--help``.
        choices: the allowed names; empty means any.
        entry_point: ``module:function`` is allowed beside ``choices``; without these it is all that is allowed.
        keras: a module of Keras, whose names are allowed beside ``choices``; they are looked up when a job begins.
        minimum, above: inclusive and exclusive lower bound.
        maximum, below: inclusive and exclusive upper bound.
    """
    bounds = {"minimum": minimum, "above": above, "maximum": maximum, "below": below}
    metadata = {"help": help, "choices": choices, "entry_point": entry_point, "keras": keras, **bounds}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


class FrozenDict(dict[str, Any]):
    """Name to value; hashable, as the sections of a config are."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(repr(sorted(self.items())))


class Section:
    """Base of the sections: checks choices and ranges when a value is made."""

    @classmethod
    def section_name(cls) -> str:
        """The key of the section in a job file: ``train`` for ``TrainConfig``."""
        return cls.__name__.removesuffix("Config").lower()

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):  # type: ignore[arg-type]
            check_value(spec, getattr(self, spec.name), f"{self.section_name()}.{spec.name}")


def check_value(spec: dataclasses.Field[Any], value: object, path: str) -> None:
    """Raise RequestError when ``value`` is outside the choices or the range of its field."""
    if value is None:
        return
    rules = spec.metadata
    choices, entry_point, keras = rules["choices"], rules["entry_point"], rules["keras"]
    for one in value if isinstance(value, tuple) else (value,):
        named = one in choices or (entry_point and is_entry_point(one)) or (keras and one.isidentifier())
        if (choices or entry_point) and not named:
            ways = (", ".join(choices), "module:function" * entry_point, keras and f"a name of {keras}")
            allowed = " or ".join(filter(None, ways))
            raise RequestError(f"{path}: {one!r} is not known; allowed: {allowed}{nearest(one, choices)}")
    is_broken = isinstance(value, float) and not math.isfinite(value)
    if is_broken or not all(rules[key] is None or fits(value, rules[key]) for key, (_, fits) in BOUNDS.items()):
        raise RequestError(f"{path}: {value!r} is out of range; allowed: {range_text(rules) or 'finite numbers'}")


def range_text(rules: Mapping[str, Any]) -> str:
    """The range of a field in words, such as ``above 0, at most 1``; empty where there is none."""
    return ", ".join(f"{word} {rules[key]:g}" for key, (word, _) in BOUNDS.items() if rules[key] is not None)


def nearest(name: object, known: Iterable[object]) -> str:
    """``; did you mean 'x'?`` for a misspelling, else the empty string."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def is_entry_point(value: object) -> bool:
    """Whether ``value`` is written as ``module:function``."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value) is not None


def is_argument(path: str) -> bool:
    """Return whether ``path`` is that of one argument: ``model.args.depth``."""
    owner, _, name = path.rpartition(".")
    return owner in ARGUMENTS and name.isidentifier()


def checked_value(path: str, value: object) -> Any:
    """Return a number, a text, true or false, none, or a list of these; a text such as 1e-3 is a number."""
    if isinstance(value, list | tuple):
        return [checked_value(path, one) for one in value]
    if isinstance(value, str) and EXPONENT.fullmatch(value):
        return float(value)
    if not is_plain(value):
        raise RequestError(f"{path}: {value!r} is not a number, a text, true, false, none or a list of these")
    return value


def is_plain(value: object) -> bool:
    """Return whether a value is one of those, so that every file of a run can have it."""
    if isinstance(value, list | tuple):
        return all(is_plain(one) for one in value)
    return value is None or isinstance(value, bool | int | float | str)


def given_arguments(path: str, given: Mapping[str, Any]) -> FrozenDict:
    """Return the arguments for a class of Keras, with values that a job can have; none means that one is not given."""
    values = {str(name): checked_value(f"{path}.{name}", value) for name, value in given.items()}
    return FrozenDict({name: value for name, value in values.items() if value not in (None, "none", "null")})


def user_arguments(owner: str, of: str, given: Mapping[str, Any]) -> FrozenDict:
    """Return the checked arguments of ``owner``, a key of ``OWNERS``, for the function ``of``.

    Raises:
        RequestError: a name that every function is offered already, or is none; another kind of value; ``of`` is not
            written as ``module:function``.
    """
    field, offered = OWNERS[owner]
    for name in given:
        if not name.isidentifier():
            raise RequestError(f"{owner}: {name!r} cannot be the name of an argument")
        if name in offered:
            raise RequestError(f"{owner}.{name}: every function of {field} is offered {name}; give it another name")
    if not is_entry_point(of):  # none: of a search that varies the model as well
        given = {name: value for name, value in given.items() if value is not None}
        if given:
            raise RequestError(f"{owner}.{min(given)}: {field} {of} takes no arguments; they are for a module:function")
    return FrozenDict({name: checked_value(f"{owner}.{name}", value) for name, value in given.items()})


def word_of(name: str) -> str:
    """Return what ``module:function`` is called; of what a call was given itself without the digest in its name."""
    word = name.rpartition(":")[2]
    return re.sub(rf"_[0-9a-f]{{{DIGEST}}}$", "", word) if name.startswith("__main__:") else word
