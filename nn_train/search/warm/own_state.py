"""What a trial may leave behind in a model with code of the user's, besides the variables that are set back.

Such code may keep something in Python, or in TensorFlow: a count in an attribute, a variable that Keras does not know
of, a generator of random numbers. If a trial has left the model as it found it, the next one finds what a new model
would have; if not, no other trial gets it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import keras
from tensorflow.python.eager import context
from tensorflow.python.framework import op_def_registry

from nn_train.engine.seeds import OF_VARIABLES, random_states
from nn_train.search.warm.facts import Facts
from nn_train.search.warm.known_parts import NOT_KNOWN
from nn_train.search.warm.layer_numbers import ANY, LayerNumber

# Operations that keep something, but give nothing that depends on it. What Python functions keep is looked at there.
HARMLESS = re.compile(
    r"(Stateless)?(If|While|Case)|(Stateful)?PartitionedCall|Collective\w+|Nccl\w+|Assert|Print\w*|(Eager)?PyFunc"
    r"|\w*Iterator\w*|\w*Dataset\w*|Timestamp|CheckNumerics(V2)?"
)


class OwnState:
    """A model before its first trial.

    Args:
        model: that has had no step yet.
        set_back: the variables that are set anew for every trial.
        numbers: those of its layers that can be set.
        traced: the functions that there were before it was made.
    """

    def __init__(
        self, model: keras.Model, set_back: Collection[Any], numbers: Collection[LayerNumber], traced: set[str]
    ) -> None:
        self.model, self.set_back, self.numbers, self.traced = model, list(set_back), numbers, traced
        self.arguments: list[tuple[Any, str]] = []
        self.first, self.drawn = self.now(), random_states()  # not yet reset: a metric may count that

    def begin(self, arguments: Sequence[Any]) -> None:
        """A trial begins of which these are the ``OwnBuild.arguments``."""
        known = self.arguments if self.first is not None else ()
        for (owner, name), value in zip(known, arguments, strict=bool(known)):
            vars(owner)[name] = value  # for whoever saves the model, or looks at it
        self.drawn = random_states()

    def has_changed(self) -> bool:
        """Whether a trial that has ended may have left anything."""
        self.model.reset_metrics()  # with which every epoch begins
        if self.first is None or self.drawn != random_states() or self.now() != self.first:
            return True
        traced = traced_functions()
        new, self.traced = traced - self.traced, traced
        return keep_something(new)

    def now(self) -> str | None:
        """Digest of all that the model holds; None where that is not known."""
        for number in self.numbers:
            number.set(ANY)
        facts = Facts(self.set_back)
        try:
            found = facts.digest(self.model)
        except NOT_KNOWN:
            return None
        self.arguments = self.arguments or [(owner, name) for owner, name, _ in facts.arguments]
        return found


def traced_functions() -> set[str]:
    """The names of TensorFlow's functions in this process."""
    return set(context.context().list_function_names())


def keep_something(functions: Iterable[str]) -> bool:
    """Whether an operation in these functions, or in those that they call, goes on from where it was: ``tf.random``."""
    asked, waiting = set(), list(functions)
    while waiting:
        name = waiting.pop()
        if name in asked:
            continue
        asked.add(name)
        for node in context.context().get_function_def(name).node_def:
            about = op_def_registry.get(node.op)
            waiting.extend(called_by(node))
            harmless = OF_VARIABLES.fullmatch(node.op) or HARMLESS.fullmatch(node.op)
            if (about is None or about.is_stateful) and not harmless:
                return True
    return False


def called_by(node: Any) -> list[str]:
    """The functions that an operation calls."""
    given = [one for value in node.attr.values() for one in (value.func, *value.list.func)]
    return [one.name for one in given if one.name]
