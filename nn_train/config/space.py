"""What a search varies: ``search.space`` of a job file, read and checked. No Ray here.

optimizer.learning_rate: {loguniform: [1e-4, 1e-1]}
train.batch_size: {choice: [32, 64, 128, 256]}
model.dropout: {by: {model.name: {mlp: {uniform: [0, 0.5]}, cnn: 0.5}}}
optimizer.warmup_steps: {times: [train.batch_size, 2]}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nn_train.config.options import ARGUMENTS, is_argument, nearest
from nn_train.config.parse import coerce, config_from_flat, config_to_dict, field_types, flatten, type_of
from nn_train.config.schema import Config
from nn_train.errors import RequestError

RANGES = {  # kind: how many numbers it takes
    "uniform": 2,
    "loguniform": 2,
    "quantized": 3,
    "integer": 2,
    "log_integer": 2,
}
LISTS = ("choice", "grid")
DEPENDENT = ("by", "times")
WHOLE = ("integer", "log_integer")
FIXED_SECTIONS = ("name", "scaling", "run", "search", "evaluation", "pipeline")  # belong to the search, not to a trial
OF_TRAINING = ("train.epochs", "train.callbacks", "train.class_weight")
FIXED_FIELDS = (*OF_TRAINING, "data.source", "data.validation_fraction")


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The values that are drawn for one field.

    Attributes:
        kind: a key of ``RANGES`` or a word of ``LISTS``.
        values: low and high (both included), for ``quantized`` also the step; or the values to choose from.
        whole: whether the field holds whole numbers.
    """

    kind: str
    values: tuple[Any, ...]
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """One value, in a branch of ``by``."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class Times:
    """The value of another field times a factor."""

    other: str
    factor: float


@dataclass(frozen=True, kw_only=True)
class By:
    """A branch for each value of another field."""

    other: str
    branches: tuple[tuple[Any, Domain | Fixed], ...]


Space = dict[str, Domain | Times | By]


def parse_space(given: Mapping[str, Any], base: Config, check: Callable[[Config], None] = lambda config: None) -> Space:
    """Read and check a space.

    Args:
        given: field to specification, as in the examples above.
        base: the job that the trials vary; every value must make a valid job with it.
        check: raises RequestError for a job that is valid, but cannot be had here.

    Raises:
        RequestError: names the field, what was given and what is allowed.
    """
    space = {str(field): parse_field(str(field), spec, given) for field, spec in given.items()}
    for field in space:
        for owner in owners(field, space):
            for values in samples(field, space):
                if all(owner.get(one, value) == value for one, value in values.items()):
                    try:
                        check(with_values(base, {**owner, **values}))
                    except RequestError as error:
                        raise RequestError(f"search.space.{field}: {error}") from error
    return space


def samples(field: str, space: Space) -> Iterator[dict[str, Any]]:
    """The values that are checked for a field, with those that they depend on."""
    spec = space[field]
    if isinstance(spec, Domain):
        yield from ({field: value} for value in extremes(spec))
    elif isinstance(spec, By):
        for chosen, branch in spec.branches:
            yield from ({spec.other: chosen, field: value} for value in extremes(branch))
    else:
        other = space[spec.other]
        assert isinstance(other, Domain)
        for value in extremes(other):
            yield resolve({spec.other: other, field: spec}, {spec.other: value})


def owners(field: str, space: Space) -> list[dict[str, Any]]:
    """Whose argument a field can be, where the search varies that too: ``optimizer.name`` of ``optimizer.args.rho``,
    with what that depends on."""
    name = f"{field.partition('.')[0]}.name"
    spec = space.get(name)
    if not is_argument(field) or spec is None or isinstance(spec, Times):
        return [{}]
    return list(samples(name, space))


def parse_field(field: str, spec: object, given: Mapping[str, Any]) -> Domain | Times | By:
    """One line of the space; values are not yet checked against their ranges."""
    path = f"search.space.{field}"
    section = field.split(".")[0]
    if type_of(field) is None:
        raise RequestError(
            f"{path}: no such field{nearest(field, [one for one in field_types() if one not in ARGUMENTS])}"
        )
    if section in FIXED_SECTIONS or field.startswith(FIXED_FIELDS):
        raise RequestError(f"{path}: belongs to the whole search and cannot differ between its trials")
    kind, content = kind_of(path, spec)
    if kind == "by":
        return parse_by(field, content, given)
    if kind == "times":
        return parse_times(field, content, given)
    return parse_domain(path, field, kind, content)


def kind_of(path: str, spec: object) -> tuple[str, Any]:
    """``{kind: content}``."""
    kinds = (*RANGES, *LISTS, *DEPENDENT)
    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise RequestError(f"{path}: {spec!r} is not written as {{kind: values}}; kinds: {', '.join(kinds)}")
    ((kind, content),) = spec.items()
    if kind not in kinds:
        raise RequestError(f"{path}: {kind!r} is not known; allowed: {', '.join(kinds)}{nearest(kind, kinds)}")
    return kind, content


def parse_domain(path: str, field: str, kind: str, content: object) -> Domain:
    """A range or a list of values."""
    hint = type_of(field)
    whole = "int" in str(hint)
    if kind == "quantized" and is_argument(field) and isinstance(content, list | tuple):
        whole = all(isinstance(value, int) for value in content)  # an argument of the user's has no type
    if not isinstance(content, list | tuple) or not content:
        raise RequestError(f"{path}: {kind} needs a list of values, got {content!r}")
    if kind in LISTS:
        values = tuple(coerce(path, value, hint) for value in content)
        if len(set(map(repr, values))) < len(values):
            raise RequestError(f"{path}: {kind}: {content!r} holds a value twice")
        return Domain(kind=kind, values=values, whole=whole)
    if len(content) != RANGES[kind]:
        shape = "[low, high, step]" if kind == "quantized" else "[low, high]"
        raise RequestError(f"{path}: {kind} needs {shape}, got {content!r}")
    if whole and kind not in (*WHOLE, "quantized"):
        raise RequestError(f"{path}: holds whole numbers; take integer, log_integer, quantized, choice or grid")
    number = int if whole or kind in WHOLE else float
    low, high, *step = (coerce(path, value, number) for value in content)
    if not all(map(math.isfinite, (low, high, *step))):
        raise RequestError(f"{path}: {kind} needs finite numbers, got {content!r}")
    if not low < high:
        raise RequestError(f"{path}: {kind}: low {low:g} is not below high {high:g}")
    if kind in ("loguniform", "log_integer") and low <= 0:
        raise RequestError(f"{path}: {kind}: low {low:g} must be above 0")
    if step and not 0 < step[0] <= high - low:
        raise RequestError(f"{path}: quantized: the step {step[0]:g} must be above 0 and fit between low and high")
    if step and not all(is_multiple(end, step[0]) for end in (low, high)):
        raise RequestError(
            f"{path}: quantized: low {low:g} and high {high:g} must be multiples of the step {step[0]:g}"
        )
    return Domain(kind=kind, values=(low, high, *step), whole=whole)


def is_multiple(value: float, step: float) -> bool:
    """Whether ``value`` is a whole number of steps, roundings aside."""
    steps = value / step
    return math.isfinite(steps) and abs(steps - round(steps)) <= 1e-9


def parse_by(field: str, content: object, given: Mapping[str, Any]) -> By:
    """``{other field: {value: specification, …}}``; every value that the other field can take has a branch."""
    path = f"search.space.{field}.by"
    if not isinstance(content, Mapping) or len(content) != 1 or not isinstance(next(iter(content.values())), Mapping):
        raise RequestError(f"{path}: {content!r} is not written as {{other field: {{its value: specification}}}}")
    ((other, branches),) = content.items()
    domain = governing(path, other, given)
    if domain.kind not in LISTS:
        raise RequestError(f"{path}: {other} must be a choice or a grid, so that its values can be told apart")
    if any(isinstance(value, list) for value in domain.values):
        raise RequestError(f"{path}: {other} is a choice between lists, which cannot stand before a branch")
    parsed = {coerce(path, key, type_of(other)): spec for key, spec in branches.items()}
    if set(parsed) != set(domain.values):
        raise RequestError(
            f"{path}: the branches {', '.join(map(str, parsed))} are not the values of {other}: "
            f"{', '.join(map(str, domain.values))}"
        )

    def branch(spec: object) -> Domain | Fixed:
        if not isinstance(spec, Mapping):
            return Fixed(value=coerce(path, spec, type_of(field)))
        kind, values = kind_of(path, spec)
        if kind in (*DEPENDENT, "grid"):
            raise RequestError(f"{path}: {kind} cannot stand in a branch")
        return parse_domain(path, field, kind, values)

    return By(other=other, branches=tuple((key, branch(spec)) for key, spec in parsed.items()))


def parse_times(field: str, content: object, given: Mapping[str, Any]) -> Times:
    """``[other field, factor]``."""
    path = f"search.space.{field}.times"
    if not isinstance(content, list | tuple) or len(content) != 2:
        raise RequestError(f"{path}: {content!r} is not written as [other field, factor]")
    domain = governing(path, content[0], given)
    if not all(isinstance(value, int | float) for value in domain.values):
        raise RequestError(f"{path}: {content[0]} holds other values than numbers, which have no product")
    factor = coerce(path, content[1], float)
    if not math.isfinite(factor):
        raise RequestError(f"{path}: the factor {factor:g} is not a finite number")
    return Times(other=content[0], factor=factor)


def governing(path: str, other: object, given: Mapping[str, Any]) -> Domain:
    """The domain of a field that another one depends on."""
    if not isinstance(other, str) or other not in given:
        raise RequestError(f"{path}: {other!r} is not in search.space{nearest(other, given)}")
    if kind_of(f"search.space.{other}", given[other])[0] in DEPENDENT:
        raise RequestError(f"{path}: {other} itself depends on another field")
    domain = parse_field(other, given[other], given)
    assert isinstance(domain, Domain)
    return domain


def extremes(spec: Domain | Fixed) -> tuple[Any, ...]:
    """The values that are checked for a whole specification."""
    if isinstance(spec, Fixed):
        return (spec.value,)
    return spec.values if spec.kind in LISTS else spec.values[:2]


def with_values(base: Config, values: Mapping[str, Any]) -> Config:
    """``base`` with some fields replaced."""
    return config_from_flat({**flatten(config_to_dict(base)), **values})


def drawn(space: Space) -> dict[str, Domain]:
    """What has to be drawn: the fields with a domain of their own, and each branch under ``field|value``."""
    domains: dict[str, Domain] = {}
    for field, spec in space.items():
        if isinstance(spec, Domain):
            domains[field] = spec
        elif isinstance(spec, By):
            branches = {branch_name(field, key): branch for key, branch in spec.branches}
            domains |= {name: branch for name, branch in branches.items() if isinstance(branch, Domain)}
    return domains


def branch_name(field: str, key: object) -> str:
    """The name under which a branch is drawn."""
    return f"{field}|{key}"


def resolve(space: Space, draws: Mapping[str, Any]) -> dict[str, Any]:
    """Field to value, from what was drawn for ``drawn(space)``."""
    values: dict[str, Any] = {}
    for field, spec in space.items():
        if isinstance(spec, Domain):
            values[field] = plain(draws[field], spec.whole)
        elif isinstance(spec, By):
            chosen = draws[spec.other]
            branch = dict(spec.branches)[chosen]
            values[field] = (
                branch.value if isinstance(branch, Fixed) else plain(draws[branch_name(field, chosen)], branch.whole)
            )
    for field, spec in space.items():
        if isinstance(spec, Times):
            product = values[spec.other] * spec.factor
            whole = "int" in str(type_of(field)) and math.isfinite(product)  # else refused by the field's type
            # An argument of the user's has no type: whole numbers stay whole.
            whole |= is_argument(field) and isinstance(values[spec.other], int) and spec.factor.is_integer()
            values[field] = round(product) if whole else product
    return values


def plain(value: object, whole: bool) -> Any:
    """Python's own number for numpy's."""
    value = value.item() if hasattr(value, "item") else value
    return round(value) if whole and isinstance(value, float) else value
