"""What is another for a while: attributes of objects, modules and classes, or variables of the environment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Meanwhile ``owner.name`` is ``value``. Not by ``setattr``, with which Keras' models and metrics track."""
    if isinstance(owner, type):
        kept = vars(owner).get(name)
        setattr(owner, name, value)
    else:
        kept = vars(owner).get(name)
        vars(owner)[name] = value
    try:
        yield
    finally:
        if kept is None:
            delattr(owner, name) if isinstance(owner, type) else vars(owner).pop(name)
        elif isinstance(owner, type):
            setattr(owner, name, kept)
        else:
            vars(owner)[name] = kept


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables of the environment meanwhile, except those that the user has set."""
    given = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]
