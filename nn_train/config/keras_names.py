"""What Keras offers by name, read from its source: importing it would take seconds in a process that needs none of it.

Where Keras is not found (a machine that only submits), every name is taken, and the workers decide.
"""

from __future__ import annotations

import ast
import difflib
import functools
from collections.abc import Mapping, Sequence

from nn_train.config.python_source import parsed_source

# Of a module of Keras: the argument that every class has which a job can name.
MARKS = {"optimizers": "learning_rate", "losses": "reduction", "metrics": "dtype"}
SHORT = {
    "optimizers": {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"},
    "losses": {
        "cross_entropy": "SparseCategoricalCrossentropy",
        "mse": "MeanSquaredError",
        "mae": "MeanAbsoluteError",
        "mape": "MeanAbsolutePercentageError",
        "msle": "MeanSquaredLogarithmicError",
        "kld": "KLDivergence",
    },
    "metrics": {"mse": "MeanSquaredError", "mae": "MeanAbsoluteError", "kld": "KLDivergence"},
}
NO_USE = {
    # A base; of sequences; of embeddings: none says how far outputs are from classes.
    "losses": ("Loss", "CTC", "Circle"),
    # Bases; of outputs that are labels: IoU and MeanIoU have counterparts for a number for each class.
    "metrics": ("Metric", "MeanMetricWrapper", "Mean", "Sum", "Accuracy", "IoU", "MeanIoU"),
}
NEEDED, UNREAD = object(), object()  # in the place of a default: there is none; it is no plain value


def class_named(module: str, name: str) -> str:
    """The class that a job means: ``SGD`` for ``sgd``, ``Huber`` also for the function ``huber``."""
    alike = [one for one in exported(module) if letters(one) == letters(name) and one[0].isupper()]
    return SHORT[module].get(name.lower()) or (alike[0] if alike else name)


def canonical(module: str, name: str, choices: Sequence[str]) -> str:
    """One name for each class: that among ``choices``, or its own."""
    named = class_named(module, name)
    return next((short for short in choices if SHORT[module].get(short) == named), named)


def offers(module: str, name: str) -> bool:
    """Whether a job can name this class of ``keras.<module>``, or a function of the same letters."""
    if not exported(module):
        return name.isidentifier()
    return defaults(module, class_named(module, name)) is not None


def unknown(module: str, name: str, also: Sequence[str]) -> str:
    """What to say of a name that is none: those that are spelt alike, or all."""
    classes = [one for one in exported(module) if defaults(module, one) is not None]
    known = list(dict.fromkeys([*also, *SHORT[module], *classes]))
    by_letters = {letters(one): one for one in reversed(known)}
    close = difflib.get_close_matches(letters(name), by_letters, n=3, cutoff=0.6)
    if close:
        return f"{name!r} is not known; did you mean {' or '.join(repr(by_letters[one]) for one in close)}?"
    return f"{name!r} is not known; allowed: {', '.join(known)}"


def letters(name: str) -> str:
    """What is compared, whatever is written large."""
    return name.lower().replace("_", "")


@functools.cache
def exported(module: str) -> Mapping[str, str]:
    """The names in ``keras.<module>``, and where each is defined; none where Keras is not found."""
    found = parsed_source(f"keras.{module}")
    imports = [node for node in found[1].body if isinstance(node, ast.ImportFrom) and node.module] if found else []
    return {alias.name: str(node.module) for node in imports for alias in node.names}


@functools.cache
def defaults(module: str, name: str) -> Mapping[str, object] | None:
    """The arguments of a class and their defaults; None where there is no class of that name which a job can name."""
    is_usable = name in exported(module) and name not in NO_USE.get(module, ())
    found = parsed_source(exported(module)[name]) if is_usable else None
    made = [node for node in found[1].body if isinstance(node, ast.ClassDef) and node.name == name] if found else []
    methods = [node for one in made for node in one.body if isinstance(node, ast.FunctionDef)]
    signature = next((method.args for method in methods if method.name == "__init__"), None)
    if signature is None:
        return None
    by_place = signature.args[1:]
    without = len(by_place) - len(signature.defaults)
    given = [*([None] * without), *signature.defaults, *signature.kw_defaults]
    arguments = {
        one.arg: value_of(default) for one, default in zip([*by_place, *signature.kwonlyargs], given, strict=True)
    }
    return arguments if MARKS[module] in arguments else None


def value_of(default: ast.expr | None) -> object:
    if default is None:
        return NEEDED
    try:
        return ast.literal_eval(default)
    except ValueError:
        return UNREAD
