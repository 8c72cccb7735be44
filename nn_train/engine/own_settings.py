"""Settings that a function of the user's does not read: they would change nothing, and are refused by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, TypeVar

from nn_train.config import Config
from nn_train.errors import RequestError

Section = TypeVar("Section")
WATCHED = ("model", "optimizer", "train")


def watched(config: Config) -> tuple[Config, set[str]]:
    """The same config, and the fields of its sections, such as ``model.dropout``, that are read from then on."""
    read: set[str] = set()
    views: dict[str, Any] = {name: view(getattr(config, name), name, read) for name in WATCHED}
    made = dataclasses.replace(config, **views)
    read.clear()  # a config looks at its sections when it is made
    return made, read


def view(section: Section, name: str, read: set[str]) -> Section:
    """A section of the same class and content that notes in ``read`` which of its fields are read.

    It is equal to the section, and copied and pickled as that.
    """
    fields = {f"{name}.{field.name}": field.name for field in dataclasses.fields(section)}  # type: ignore[arg-type]

    def note(self: object, attribute: str) -> Any:
        if attribute in fields.values():
            read.add(f"{name}.{attribute}")
        elif attribute == "__dict__":  # ``vars``
            read.update(fields)
        return object.__getattribute__(self, attribute)

    methods = {
        "__getattribute__": note,
        "__eq__": lambda self, other: other is self or section == other,
        "__hash__": lambda self: hash(section),
        "__reduce__": lambda self: (dataclasses.replace, (section,)),
    }
    made: Any = object.__new__(type(type(section).__name__, (type(section),), methods))
    vars(made).update(vars(section))
    noted: Section = made
    return noted


def refuse_unread(
    config: Config, read: Collection[str], decided: Collection[str], varied: Collection[str] = ()
) -> None:
    """Raise RequestError for a setting of the job that neither the function nor anything else of the job reads.

    Args:
        config: the job; ``model.name`` is the user's function.
        read: the fields that the function and its model have read.
        decided: of ``optimizer``, ``train.loss`` and ``train.metrics`` those that a compiled model has of its own.
        varied: the fields that a search varies; of the others those count that are not at their default.
    """
    paths = ["model.hidden_units", "model.activation", "model.dropout", "model.l2"]
    paths += [path for path in ("train.loss", "train.metrics") if path in decided]
    if "optimizer" in decided and config.train.callbacks is None:  # which are given the config too, later
        paths += [f"optimizer.{field.name}" for field in dataclasses.fields(config.optimizer)]
    for path in paths:
        section, _, name = path.partition(".")
        default = getattr(type(getattr(config, section))(), name)
        is_varied = any(f"{field}.".startswith(f"{path}.") for field in varied)
        if (is_varied or getattr(getattr(config, section), name) != default) and path not in read:
            why = "compiles its model and does" if section != "model" else "does"
            raise RequestError(
                f"{path}: would change nothing, since {config.model.name} {why} not read it; leave it out, or let the "
                f"function take config and read config.{path}"
            )
