"""Settings that a function of the user's does not read: they would change nothing, and are refused by name."""

from __future__ import annotations

import dataclasses
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
    """A section of the same class and content that notes in ``read`` which of its fields are read."""
    fields = {field.name for field in dataclasses.fields(section)}  # type: ignore[arg-type]

    def note(self: object, attribute: str) -> Any:
        if attribute in fields:
            read.add(f"{name}.{attribute}")
        return object.__getattribute__(self, attribute)

    kind = type(type(section).__name__, (type(section),), {"__getattribute__": note})
    made: Any = object.__new__(kind)
    vars(made).update(vars(section))
    noted: Section = made
    return noted


def refuse_unread(config: Config, read: set[str], is_compiled: bool) -> None:
    """Raise RequestError for a setting of the job that neither the function nor anything else of the job reads.

    Args:
        config: the job; ``model.name`` is the user's function.
        read: the fields that the function has read.
        is_compiled: whether the model came with an optimizer and a loss, in the place of those of the job.
    """
    brought = ["model.hidden_units", "model.activation", "model.dropout", "model.l2"]
    if is_compiled:
        brought += [f"optimizer.{field.name}" for field in dataclasses.fields(config.optimizer)] + ["train.loss"]
    for path in brought:
        section, _, name = path.partition(".")
        default = next(one.default for one in dataclasses.fields(getattr(config, section)) if one.name == name)
        if getattr(getattr(config, section), name) != default and path not in read:
            why = "compiles its model and does" if section != "model" else "does"
            raise RequestError(
                f"{path}: would change nothing, since {config.model.name} {why} not read it; leave it out, or let the "
                f"function take config and read config.{path}"
            )
