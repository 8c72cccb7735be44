"""What code of the user's is often made of, and is neither Keras' nor a plain value: how ``facts.py`` tells it."""

from __future__ import annotations

import enum
import logging
import types
from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function
from tensorflow.python.ops.custom_gradient import Bind
from tensorflow.python.ops.lookup_ops import StaticHashTable

from nn_train.search.warm.known_parts import OF_CLASSES, UnknownPartError, require_library

Of = Callable[[object], Any]  # how what is within is told

OF_NAMED_TUPLES = OF_CLASSES | {*vars(namedtuple("Any", ()))}
OPTIONS = ("_jit_compile", "_autograph", "_reduce_retracing", "_function_type")  # of a tf.function
METHODS = (types.FunctionType, property, classmethod, staticmethod)
OF_MEMBERS = {"_value_", "_name_", "__objclass__", "_sort_order_"}


def of_logger(one: logging.Logger) -> Any:
    require_library(type(one))
    return ["logger", one.name, one.getEffectiveLevel()]


def of_member(of: Of, one: enum.Enum) -> Any:
    if isinstance(one, enum.Flag) or vars(one).keys() - OF_MEMBERS:
        raise UnknownPartError(type(one).__qualname__)
    return ["member", of(type(one)), one.name]


def of_enum(of: Of, one: enum.EnumMeta) -> Any:
    every: Mapping[str, Any] = one.__members__  # with other names of the same
    members = [[name, of(member.value)] for name, member in every.items()]
    methods = [[name, of(value)] for name, value in sorted(vars(one).items()) if isinstance(value, METHODS)]
    dynamic = [value for value in vars(one).values() if isinstance(value, types.DynamicClassAttribute)]
    if any(value.fget is not None for value in dynamic):
        raise UnknownPartError(one.__qualname__)
    return ["enum", one.__module__, one.__qualname__, [of(base) for base in one.__bases__], members, methods]


def of_named(of: Of, one: type[tuple[Any, ...]]) -> Any:
    """A class of named tuples."""
    if one.__bases__ != (tuple,):
        raise UnknownPartError(one.__qualname__)
    names = vars(one)["_fields"]
    given = {*OF_NAMED_TUPLES, *names}
    methods = [[name, of(value)] for name, value in sorted(vars(one).items()) if name not in given]
    return ["named", one.__module__, one.__qualname__, names, of(one.__new__.__defaults__), methods]


def of_wrapped(of: Of, one: Bind) -> Any:
    """A function within TensorFlow's ``custom_gradient``."""
    return ["wrapped", type(one).__qualname__, of(one.__wrapped__)]


def of_table(of: Of, one: StaticHashTable) -> Any:
    """That in which a layer of Keras' looks up words or numbers."""
    entries = zip(*(np.asarray(part).tolist() for part in one.export()), strict=True)
    return ["table", of(one.key_dtype), of(one.value_dtype), of(one._default_value), sorted(map(repr, entries))]


def of_traced(of: Of, one: Function) -> Any:
    """A ``tf.function``."""
    options = [repr(getattr(one, name)) for name in OPTIONS]
    return ["traced", options, of(one.python_function)]
