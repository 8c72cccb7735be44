"""Attributes of Keras' objects, modules and classes that are exchanged for a while."""

from __future__ import annotations

import contextlib
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
