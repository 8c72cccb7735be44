"""Numbers that a part of the user's keeps of what it was made with, for ``get_config`` alone: ``self.rate = rate``.

They change nothing that is computed, so trials that differ in them can share a graph.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from nn_train.search.warm.known_parts import is_keras, is_of_keras
from nn_train.search.warm.own_code import REACHES_ATTRIBUTES, is_library, read

# What rates and penalties are called. By these names Keras reads nothing of objects that are not of its own classes,
# for which a test looks through its sources.
NAMES = re.compile(
    r"_?(?!\w*(learning_rate|dilation_rate|weight_decay))(\w+_)?"
    r"(rate|drop|dropout|prob|probability|p|l1|l2|reg|decay|penalty|strength|coefficient|coef|lambda|lambda_|lam|alpha)"
)


# Layers of Keras' with a Dropout or a regulariser within, that ask of its number only whether it is above 0.
MADE_WITH = {
    keras.layers.MultiHeadAttention: ("_dropout",),
    keras.layers.GroupQueryAttention: ("dropout",),
    keras.layers.ActivityRegularization: ("l1", "l2"),
}


@dataclass(frozen=True)
class KeptNumber:
    """A number of a rate's or penalty's name.

    Attributes:
        owner: who has it as an attribute.
        told: of it in the description of its owner, to which the value is added if it counts.
    """

    owner: Any
    name: str
    value: float
    told: list[Any]

    def is_read(self, words: Collection[str]) -> bool:
        """Whether anything may compute with it. ``words``: those of the user's code, where it runs in steps."""
        kind = type(self.owner)
        of_bases = (words_of(base) for base in kind.__mro__ if is_library(base.__module__) and kind not in MADE_WITH)
        return (
            self.name in words
            or not REACHES_ATTRIBUTES.isdisjoint(words)
            or hasattr(kind, "__match_args__")  # of a dataclass, which has more ways to all of them
            or any(self.name in found for found in of_bases)
        )


def may_be_unread(kind: type, name: str, value: object) -> bool:
    """Whether an attribute of a part of the user's, or of Keras', is such a number."""
    if type(value) is not float:
        return False
    if is_keras(kind.__module__):
        return value > 0 and name in MADE_WITH.get(kind, ())
    return is_of_keras(kind) and NAMES.fullmatch(name) is not None


@functools.cache
def words_of(kind: type) -> frozenset[str]:
    """What stands in the methods of a class of a library."""
    return frozenset(word for one in vars(kind).values() for code in codes_of(one) for word in read(code).words)


def codes_of(one: object) -> Iterator[types.CodeType]:
    """Those of a method or property, also of one that is wrapped."""
    for part in (one, getattr(one, "fget", None), getattr(one, "fset", None), getattr(one, "__func__", None)):
        inner: Any = part
        while isinstance(inner, types.FunctionType):
            yield inner.__code__
            inner = getattr(inner, "__wrapped__", None)
