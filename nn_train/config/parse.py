"""From job files and command lines to a ``Config``, and back to YAML.

Owns types, spelling and messages; ranges belong to ``schema``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import types
import typing
import unicodedata
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_train.config.options import ARGUMENTS, OWNERS, checked_value, is_argument, is_plain, nearest
from nn_train.config.schema import SECTIONS, Config
from nn_train.config.yaml_text import YamlError, dump, dump_line, load
from nn_train.errors import RequestError

if TYPE_CHECKING:
    from importlib.abc import Traversable

TOP_FIELDS = ("name", "seed")
STAGES = ("search", "pipeline")  # sections of the jobs that run more than one training
PRESETS = files("nn_train") / "presets"
LARGEST = 256_000  # bytes of a job file; PyYAML reads 100 kB in a second


def read_config(file: str | None, overrides: Mapping[str, Any]) -> Config:
    """The config of a job: defaults, then ``file``, then ``overrides``.

    Args:
        file: path of a YAML job file, the name of a preset, or None.
        overrides: ``section.field`` (or a top field) to its value, as text where the field has a type.

    Raises:
        RequestError: unreadable file, unknown name, wrong type or range; the message names the field.
    """
    nested = load_yaml(file) if file is not None else {}
    flat = {**flatten(nested), **overrides}
    return config_from_flat(flat)


def presets() -> list[str]:
    """The names of the job files that come with this package."""
    return sorted(file.name.removesuffix(".yaml") for file in PRESETS.iterdir())


def load_yaml(file: str) -> dict[str, Any]:
    """The mapping in a job file, or in the preset of that name where there is no such file."""
    path: Path | Traversable = Path(file)
    if not os.path.isfile(file) and re.fullmatch(r"\w+", file):
        path, known = PRESETS / f"{file}.yaml", presets()
        if file not in known:
            raise RequestError(
                f"--config {file}: there is no such file, and no preset of that name{nearest(file, known)}; "
                f"presets: {', '.join(known)}"
            )
    try:
        with path.open("rb") as handle:
            content = handle.read(LARGEST + 1)
        text = content.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"--config {file}: cannot be read: it is not text in UTF-8") from error
    except (OSError, ValueError) as error:  # ValueError: no path, such as one with a zero byte
        raise RequestError(f"--config {file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > LARGEST:
        raise RequestError(f"--config {file}: is no job file: it is larger than {LARGEST // 1000} kB")
    return parse_yaml(text, f"--config {file}")


def parse_yaml(text: str, source: str, wanted: str = "'section:' lines") -> dict[str, Any]:
    """Return the mapping in a YAML text; ``source`` names it in messages, and ``wanted`` what it is to be."""
    try:
        content = load(text)
    except YamlError as problem:
        where = f", line {problem.line}" if problem.line else ""
        raise RequestError(f"{source}{where}: not valid YAML: {problem}") from problem
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RequestError(f"{source}: expected {wanted}, got {type(content).__name__}")
    return content


def config_from_dict(nested: Mapping[str, Any]) -> Config:
    """A ``Config`` from nested mappings such as ``{"train": {"epochs": 3}}``. Raises RequestError."""
    return config_from_flat(flatten(nested))


def config_to_dict(config: Config, stages: Collection[str] = ()) -> dict[str, Any]:
    """Nested plain values, fully resolved; ``config_from_dict`` gives the same config back.

    The sections ``search`` and ``pipeline`` are no part of a run: they are left out unless named in ``stages``.
    """
    nested = dataclasses.asdict(config, dict_factory=lambda pairs: {k: as_plain(v) for k, v in pairs})
    return {key: value for key, value in nested.items() if key not in STAGES or key in stages}


def dump_yaml(config: Config, stages: Collection[str] = ()) -> str:
    """The job file that stands for ``config``, every field written out."""
    return dump(config_to_dict(config, stages))


def value_text(value: object) -> str:
    """A value of a field in one line; a list or a mapping as YAML, so that a tuple and the list of it read the same."""
    return dump_line(as_plain(value)) if isinstance(value, tuple | list | Mapping) else str(value)


def as_plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {key: as_plain(one) for key, one in value.items()}
    return [as_plain(one) for one in value] if isinstance(value, tuple | list) else value


@functools.cache  # a trial of a search asks for it, in a millisecond
def field_types() -> Mapping[str, Any]:
    """``section.field`` to its declared type, for every field, in the order of the schema."""
    hints = typing.get_type_hints(Config)
    result = {name: hints[name] for name in TOP_FIELDS}
    for section, cls in SECTIONS.items():
        for name, hint in typing.get_type_hints(cls).items():
            result[f"{section}.{name}"] = hint
    return result


def type_of(path: str) -> Any:
    """The declared type of a field; ``object`` for an argument of a function or class; None where there is none."""
    if not is_argument(path):
        return field_types().get(path)
    # A text of none may mean something to a function of the user's.
    return object if path.rpartition(".")[0] in OWNERS else object | None


def flatten(nested: Mapping[Any, Any]) -> dict[str, Any]:
    """``{"train": {"epochs": 3}}`` to ``{"train.epochs": 3}``; names are checked later.

    The arguments of the user's functions are fields of their own: ``model.args.depth``.
    """
    flat: dict[str, Any] = {}
    for section, content in nested.items():
        if section not in SECTIONS:
            flat[str(section)] = content
        elif isinstance(content, Mapping):
            for name, value in content.items():
                path = f"{section}.{name}"
                one_by_one = path in ARGUMENTS and isinstance(value, Mapping)
                flat.update({f"{path}.{key}": one for key, one in value.items()} if one_by_one else {path: value})
        elif content is not None:
            raise RequestError(f"{section}: expected fields below it, got {content!r}")
    return flat


def config_from_flat(flat: Mapping[str, Any]) -> Config:
    """A ``Config`` from ``section.field`` names and values as text or as YAML gave them."""
    hints = field_types()
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    top: dict[str, Any] = {}
    for path, value in flat.items():
        section, _, name = path.rpartition(".")
        if section in ARGUMENTS:
            sections[section.removesuffix(".args")].setdefault("args", {})[name] = value
        elif path in ARGUMENTS:
            given = coerce(path, value, hints[path])
            kept = sections[section].get("args", {}) if given else {}  # none: nor those that the file gives
            sections[section]["args"] = {**kept, **given}
        elif path not in hints:
            raise RequestError(unknown_field(path, list(hints)))
        else:
            (sections[section] if section else top)[name] = coerce(path, value, hints[path])
    made = {name: SECTIONS[name](**values) for name, values in sections.items()}
    return Config(**top, **made)


def read_section(section: str, values: Mapping[str, Any]) -> Any:
    """A section by itself, such as a ``ScalingConfig``, from its fields' values. Raises RequestError."""
    hints = field_types()
    given = {name: coerce(f"{section}.{name}", value, hints[f"{section}.{name}"]) for name, value in values.items()}
    return SECTIONS[section](**given)


def from_text(text: str) -> Any:
    """Return the value of an argument on a command line: as YAML reads it; a text that is no YAML is a text."""
    if text.lower() in ("none", "null"):
        return None
    if not text.strip():
        return text
    try:
        value = load(text)
    except YamlError:
        return text
    return value if is_plain(value) else text


def unknown_field(path: str, known: list[str]) -> str:
    """The message for a misspelt field, with the nearest name or the section's fields."""
    section, _, name = path.partition(".")
    hint = nearest(path, known if name else [*SECTIONS, *TOP_FIELDS]) or nearest(path, known)
    if hint and f"{section}.args" in ARGUMENTS and name.isidentifier():
        hint += f" What a function or class takes by name is {section}.args.{name}"
    if not hint:
        siblings = [name for name in known if name.startswith(f"{section}.")]
        names = siblings or [*TOP_FIELDS, *SECTIONS]
        hint = f"; allowed: {', '.join(names)}"
    return f"{path}: no such field{hint}"


def coerce(path: str, value: object, hint: object) -> Any:
    """``value`` as the declared type. Text from a command line and YAML's own types are both taken."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in options and (value is None or (isinstance(value, str) and value.lower() in ("none", "null"))):
        return None
    kind = next(option for option in options if option is not type(None))
    if kind is object:
        return checked_value(path, value)
    if typing.get_origin(kind) is tuple:
        of = typing.get_args(kind)[0]
        return coerce_entries(path, value) if of is Any else coerce_list(path, value, of)
    if typing.get_origin(kind) is Mapping:
        return coerce_mapping(path, value)
    try:
        return CONVERTERS[kind](value)
    except OverflowError:
        raise RequestError(f"{path}: the number is too large; it must fit 64 bits") from None
    except (ValueError, TypeError):
        raise RequestError(f"{path}: {value!r} is not {KIND_NAMES[kind]}") from None


def coerce_list(path: str, value: object, of: type) -> tuple[Any, ...]:
    """Names or whole numbers in a list, or its text: ``224,224``."""
    listed = value
    if isinstance(value, str):
        listed = [] if value.lower() in ("", "none", "[]") else [part.strip() for part in value.strip("[]").split(",")]
    if isinstance(listed, list | tuple | None):
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            return tuple(CONVERTERS[of](one) for one in listed or ())
    raise RequestError(f"{path}: {value!r} is not a list of {'names' if of is str else 'whole numbers'}")


def coerce_entries(path: str, value: object) -> tuple[Any, ...]:
    """Names and mappings in a list, or its text in YAML; also names with commas, and one mapping with all of them."""
    if isinstance(value, str):
        try:
            content = load(value)
        except YamlError as problem:
            raise RequestError(f"{path}: not valid YAML: {problem}") from problem
        value = content if isinstance(content, list | Mapping) else coerce_list(path, value, str)
    if isinstance(value, Mapping):
        value = [{name: one} for name, one in value.items()]
    if not isinstance(value, list | tuple | None):
        raise RequestError(f"{path}: {value!r} is not a list")
    return tuple(value or ())


def coerce_mapping(path: str, value: object) -> dict[str, Any]:
    """A mapping, or its text in YAML (from a command line)."""
    if isinstance(value, str) and value.lower() in ("none", "null"):
        value = None
    if isinstance(value, str):
        value = parse_yaml(value, path, "'{name: value, …}'")
    content = {} if value is None else value
    if not isinstance(content, Mapping) or not all(isinstance(key, str | int) for key in content):
        raise RequestError(f"{path}: {value!r} is not a mapping of names to values")
    return {str(key): one for key, one in content.items()}


def to_int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError
    return number


def to_float(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError
    return float(value)  # also the text "1e-3", which YAML 1.1 does not take for a number


def to_bool(value: object) -> bool:
    text = str(value).lower()
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


def to_str(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    if not value.strip() or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in value):
        raise ValueError  # Cs: bytes of a command line that are no text, which no file of a run could repeat
    return value


CONVERTERS: dict[Any, Any] = {int: to_int, float: to_float, bool: to_bool, str: to_str}
KIND_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text (not empty, no control characters)",
}
