"""What a field of a section carries besides its type: default, meaning, unit, range; and the checks of these."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import field
from typing import Any

from nn_train.config.keras_names import offers, unknown
from nn_train.errors import RequestError


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
        entry_point: ``module:function`` is allowed beside ``choices``.
        keras: a module of Keras, whose names are allowed beside ``choices``.
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
    choices = rules["choices"]
    values = value if isinstance(value, tuple) else (value,)
    for one in values:
        named = one in choices or (rules["entry_point"] and is_entry_point(one))
        if rules["keras"]:
            if not named and not offers(rules["keras"], one):
                raise RequestError(f"{path}: {unknown(rules['keras'], one, choices)}")
        elif choices and not named:
            allowed = ", ".join(choices) + (" or module:function" if rules["entry_point"] else "")
            raise RequestError(f"{path}: {one!r} is not known; allowed: {allowed}{nearest(one, choices)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise RequestError(f"{path}: {value!r} is out of range; allowed: {range_text(rules) or 'finite numbers'}")
    low = rules["minimum"] if rules["minimum"] is not None else rules["above"]
    high = rules["maximum"] if rules["maximum"] is not None else rules["below"]
    if low is None and high is None:
        return
    fits = (
        (rules["minimum"] is None or value >= rules["minimum"])
        and (rules["above"] is None or value > rules["above"])
        and (rules["maximum"] is None or value <= rules["maximum"])
        and (rules["below"] is None or value < rules["below"])
    )
    if not fits:
        raise RequestError(f"{path}: {value!r} is out of range; allowed: {range_text(rules)}")


def range_text(rules: Any) -> str:
    """The range of a field in words, such as ``above 0, at most 1``; empty where there is none."""
    words = (("minimum", "at least"), ("above", "above"), ("maximum", "at most"), ("below", "below"))
    return ", ".join(f"{word} {rules[key]:g}" for key, word in words if rules[key] is not None)


def nearest(name: Any, known: Any) -> str:
    """``; did you mean 'x'?`` for a misspelling, else the empty string."""
    import difflib

    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def is_entry_point(value: object) -> bool:
    """Whether ``value`` is written as ``module:function``."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value) is not None
