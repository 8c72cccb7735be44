"""What of a model's parts tells nothing, and which parts cannot be told."""

from __future__ import annotations

import abc
import builtins
import hashlib
from typing import Any

import numpy as np
import tensorflow as tf

from nn_train.search.warm.own_code import is_library

# Of Keras' objects what differs from model to model, or follows from the rest: connections by operation, who keeps
# track of what.
SKIPPED = {"_tracker", "_inbound_nodes", "_outbound_nodes", "_parent_path", "_lock", "_nodes", "_operations_by_depth"}
SKIPPED |= {"_tracked", "_call_signature", "_auto_config", "_initializer", "_distribution_strategy", "_initial_seed"}
SKIPPED |= {"stop_training", "stop_evaluating"}  # of the trial before
SKIPPED |= {"_losses", "_loss_ids"}  # of the step before
SKIPPED |= {"_exclude_from_weight_decay_cache", "_trainable_variables_indices"}  # of the weights' names
SKIPPED |= {"_dropout_mask", "_recurrent_dropout_mask"}  # of the step before
# What every class has, and what an abstract one remembers of its instances.
OF_CLASSES = {"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__"}
OF_CLASSES |= {
    "__firstlineno__",
    "__static_attributes__",
    "__abstractmethods__",
    "_abc_impl",
    "__parameters__",
    "__orig_bases__",
}
OF_CLASSES |= {"__dataclass_fields__", "__dataclass_params__", "__match_args__"}
BUILTINS = frozenset(vars(builtins))
PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), slice, range)
BY_REPR = (np.generic, np.dtype, tf.DType, tf.TensorShape, tf.TypeSpec)
SAMPLE = 10_000
TOO_MANY = 50_000  # things; a model that holds so many is traced sooner


class UnknownPartError(Exception):
    """A part of a model of which it cannot be said what it does."""


# What is raised where something is looked at that is not known.
NOT_KNOWN = (UnknownPartError, TypeError, ValueError, NotImplementedError, AttributeError, RecursionError)


def of_this_replica(variable: Any) -> Any:
    """The part of a variable of TensorFlow's that lies here; to read it over all replicas can be collective."""
    return variable.values[0] if isinstance(variable, tf.distribute.DistributedValues) else variable


def array_facts(one: Any, whole: bool = True) -> list[str]:
    """``whole``: else of a large one ``SAMPLE`` numbers.

    Raises one of ``NOT_KNOWN`` for a tensor of a graph, and where objects are in it.
    """
    array = np.asarray(one)
    if isinstance(one, np.ndarray) and type(one) is not np.ndarray:
        raise UnknownPartError(f"{type(one).__module__}.{type(one).__qualname__}")
    if array.dtype == object:
        if not all(type(item) in PLAIN for item in array.flat):
            raise UnknownPartError("an array of objects")
        return ["array", str(array.shape), repr(array.tolist())]
    shown = array if whole else array.reshape(-1)[:: max(1, array.size // SAMPLE)]
    return ["array", str(array.dtype), str(array.shape), hashlib.sha256(shown.tobytes()).hexdigest()]


def is_skipped(attribute: str) -> bool:
    return attribute in SKIPPED or attribute.startswith("_self_")  # TensorFlow's, for its checkpoints


def is_keras(module: str | None) -> bool:
    return str(module).partition(".")[0] == "keras"


def is_of_keras(kind: type) -> bool:
    """Whether a class is Keras' or derived from one of its."""
    return any(is_keras(base.__module__) for base in kind.__mro__)


def is_without_state(base: type) -> bool:
    """Whether a class that others are derived from keeps nothing but attributes."""
    return base in (abc.ABC, tf.Module) or base.__module__.startswith("tensorflow.python.trackable.")


def require_library(kind: type) -> None:
    """UnknownPartError for a container of the user's class."""
    if not is_library(kind.__module__):
        raise UnknownPartError(f"{kind.__module__}.{kind.__qualname__}")
