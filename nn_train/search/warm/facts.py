"""Everything that a model holds, in plain values: two models of which they agree compute the same.

That is every attribute of all that it is made of, with who shares what, but for the values of variables that are set
back for each trial. Of the user's classes and functions it is also their code, and what that can read elsewhere: the
variables around it, the globals that it names, the attributes of its classes.
"""

from __future__ import annotations

import abc
import builtins
import contextlib
import enum
import functools
import gc
import hashlib
import json
import logging
import random
import re
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.initializers import Initializer
from keras.src.models.functional import Functional
from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function
from tensorflow.python.ops.custom_gradient import Bind
from tensorflow.python.ops.lookup_ops import StaticHashTable

from nn_train.search.warm import common_parts
from nn_train.search.warm.graph_numbers import GraphNumber
from nn_train.search.warm.kept_numbers import MADE_WITH, KeptNumber, may_be_unread
from nn_train.search.warm.known_parts import (
    BUILTINS,
    BY_REPR,
    NOT_KNOWN,
    OF_CLASSES,
    PLAIN,
    TOO_MANY,
    UnknownPartError,
    array_facts,
    is_keras,
    is_of_keras,
    is_skipped,
    is_without_state,
    of_this_replica,
    require_library,
)
from nn_train.search.warm.own_code import REACHES_ANYTHING, REACHES_ATTRIBUTES, is_library, is_users, read
from nn_train.search.warm.own_words import OwnWords


class Facts:
    """Tells what things hold.

    Args:
        set_back: variables whose values are set anew for every trial.
        all_known: whether what is not known is an error; else it is told by its class alone, and of
            large arrays a sample, to see whether something changes.

    Attributes:
        own_parts: whether code of the user's was met.
        words: of this code.
        traced: each ``tf.function`` that was met.
        sets_libraries: whether such sets an attribute of a library, where nobody looks.
        libraries: of which something was met.
        arguments: attributes that were left out, since they only say what a part was made with: owner, name, value.
    """

    def __init__(self, set_back: Collection[Any] = (), all_known: bool = True) -> None:
        self.set_back, self.all_known = {id(one) for one in set_back}, all_known
        self.seen: dict[Any, tuple[int, Any]] = {}  # with the thing, so that no other gets its id meanwhile
        self.own_parts = self.sets_libraries = False
        self.libraries: set[str] = set()
        self.words = OwnWords()
        self.traced: list[Function] = []
        self.kept: list[KeptNumber] = []
        self.arguments: list[tuple[object, str, Any]] = []

    def digest(self, one: object) -> str:
        """Of all that ``one`` holds.

        Raises:
            One of ``NOT_KNOWN``: it holds something of which it is not known what it does.
        """
        with uncollected():
            told = self.of(one)
        words = self.words.all()
        for number in self.kept:
            if number.is_read(words):
                number.told.append(repr(number.value))
            else:
                self.arguments.append((number.owner, number.name, number.value))
        everywhere = [keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format()]
        return hashlib.sha256(json.dumps([everywhere, told]).encode()).hexdigest()

    def of(self, one: object) -> Any:
        """What was met before is told by its number, so that it is known who shares what.

        Raises:
            UnknownPartError: something that is not known, and no plain value.
        """
        if type(one) in PLAIN:
            return [type(one).__name__, repr(one)]
        if id(one) in self.seen:
            return ["seen", self.seen[id(one)][0]]
        if len(self.seen) > TOO_MANY:
            raise UnknownPartError("too many parts")
        self.seen[id(one)] = (len(self.seen), one)
        tell = TOLD_BY.get(type(one)) or teller_of(one)
        if self.all_known:
            return tell(self, one)
        try:
            return tell(self, one)
        except NOT_KNOWN:
            return ["unknown", type(one).__qualname__]

    def of_object(self, one: object) -> Any:
        """A layer, a loss, an optimizer, or whatever else they hold."""
        kind = type(one)
        for base in kind.__mro__[:-1]:
            if not (is_keras(base.__module__) or is_users(base.__module__) or is_without_state(base)):
                raise UnknownPartError(f"{base.__module__}.{base.__qualname__}")
        held = vars(one) if hasattr(one, "__dict__") else {}
        if is_of_keras(kind):
            if is_users(kind.__module__) and "_auto_config" in held:
                self.arguments.append((one, "_auto_config", held["_auto_config"]))
            held = {name: value for name, value in held.items() if not is_skipped(name)}
        if is_keras(kind.__module__):  # the values that Keras' layers have of initializers are set anew
            held = {name: value for name, value in held.items() if not isinstance(value, Initializer)}
        if is_users(kind.__module__):
            self.words.add_values(held.values())
            self.words.makes_in_steps |= isinstance(one, keras.layers.Layer) and not one.built
        elif kind not in MADE_WITH:
            return [self.of(kind), [[name, self.of(value)] for name, value in sorted(held.items())]]
        return [self.of(kind), [[name, self.of_attribute(one, name, value)] for name, value in sorted(held.items())]]

    def of_attribute(self, owner: object, name: str, value: object) -> Any:
        """A number that may be there for ``get_config`` alone is told at the end."""
        if not (isinstance(value, float) and may_be_unread(type(owner), name, value)):
            return self.of(value)
        self.kept.append(KeptNumber(owner, name, value, told := ["number"]))
        return told

    def of_class(self, one: type) -> Any:
        if is_library(one.__module__):
            self.libraries.add(root_of(one.__module__))
            return ["class", one.__module__, one.__qualname__]
        if type(one) is enum.EnumMeta and is_users(one.__module__):
            self.own_parts = True
            return common_parts.of_enum(self.of, one)
        if hasattr(one, "_fields") and issubclass(one, tuple) and is_users(one.__module__):
            self.own_parts = True
            return common_parts.of_named(self.of, one)
        if type(one) not in (type, abc.ABCMeta) or not is_users(one.__module__):
            raise UnknownPartError(f"{one.__module__}.{one.__qualname__}")
        self.own_parts = True
        self.words.add_class(one)
        left = OF_CLASSES | {"__repr__"} if "__dataclass_fields__" in vars(one) else OF_CLASSES
        shown = [[name, self.of(value)] for name, value in sorted(vars(one).items()) if name not in left]
        # Keras puts its class for connected layers in the place of the other, when the first such model is made.
        bases = [keras.Model if base is Functional else base for base in one.__bases__]
        return ["class", one.__module__, one.__qualname__, [self.of(base) for base in bases], shown]

    def of_variable(self, one: keras.Variable) -> Any:
        held = [one.shape, one.dtype, one.trainable, one.regularizer, one.constraint, one.aggregation, one._autocast]
        return [
            "variable",
            self.of(held),
            [] if id(one) in self.set_back else self.of_array(of_this_replica(one._value)),
        ]

    def of_plain_variable(self, one: tf.Variable) -> Any:
        """One of TensorFlow's, of which Keras does not know."""
        return ["variable", one.trainable, [] if id(one) in self.set_back else self.of_array(of_this_replica(one))]

    def of_array(self, one: np.ndarray | tf.Tensor) -> list[str]:
        return array_facts(one, self.all_known)

    def of_mapping(self, one: Mapping[Any, Any]) -> Any:
        require_library(type(one))
        otherwise = self.of(getattr(one, "default_factory", None))
        return ["mapping", otherwise, [[self.of(key), self.of(value)] for key, value in one.items()]]

    def of_items(self, one: Collection[Any]) -> Any:
        if hasattr(one, "_fields") and is_users(type(one).__module__):
            return [self.of(type(one)), [self.of(item) for item in one]]
        require_library(type(one))
        return [type(one).__name__, [self.of(item) for item in one]]

    def of_method(self, one: types.MethodType) -> Any:
        return ["method", self.of(one.__func__), self.of(one.__self__)]

    def of_builtin(self, one: types.BuiltinFunctionType) -> Any:
        if not is_library(one.__module__) or not isinstance(one.__self__, types.ModuleType | None):
            raise UnknownPartError(one.__qualname__)
        self.libraries.add(root_of(one.__module__))
        return ["builtin", one.__module__, one.__qualname__]

    def of_function(self, one: types.FunctionType) -> Any:
        home = one.__globals__.get("__name__")
        around = [self.of(cell.cell_contents) for cell in one.__closure__ or ()]
        if is_library(home):
            if not is_library(one.__module__) and not is_keras(home):
                raise UnknownPartError(one.__qualname__)  # a library's function about one of the user's
            self.libraries.add(root_of(home))
            return ["function", one.__module__, one.__qualname__, around]
        if not is_users(home):
            raise UnknownPartError(one.__qualname__)
        self.own_parts = True
        attributes = [one.__defaults__, one.__kwdefaults__, {**vars(one)}]
        return ["function", one.__qualname__, around, self.of(attributes), *self.of_code(one)]

    def of_cached(self, one: Any) -> Any:
        """A function with an ``lru_cache``, which gives again what it would give anew if it only computes."""
        function = one.__wrapped__
        inner = Facts()
        inner.digest(function)
        if inner.libraries - ONLY_COMPUTE or not inner.words.all().isdisjoint(GIVES_OTHERS):
            raise UnknownPartError(function.__qualname__)
        return ["cached", self.of(function)]

    def of_traced(self, one: Function) -> Any:
        self.traced.append(one)
        self.words.add_traced()
        return common_parts.of_traced(self.of, one)

    def of_code(self, one: types.FunctionType) -> list[Any]:
        """The code of a function, and the values of the globals that it names."""
        code = read(one.__code__)
        imports_others, names_skipped = not all(map(is_library, code.imports)), any(map(is_skipped, code.words))
        of_everybody = code.variables & (vars(builtins).keys() - BUILTINS)
        if self.all_known and (code.names & REACHES_ANYTHING or imports_others or names_skipped or of_everybody):
            raise UnknownPartError(one.__qualname__)
        self.words.add_function(one, code)
        self.sets_libraries |= any(is_library(home_of(one.__globals__.get(name))) for name in code.changed)
        told = []
        for name in sorted(code.variables & one.__globals__.keys()):
            value = one.__globals__[name]
            if isinstance(value, types.ModuleType) and (self.all_known or is_users(value.__name__)):
                told.append([name, self.of_module(value, code.names)])
            else:
                told.append([name, self.of(value)])
        return [code.number, told]

    def of_module(self, one: types.ModuleType, names: frozenset[str]) -> Any:
        """Those of its attributes that stand in a code."""
        if is_library(one.__name__):
            self.libraries.add(root_of(one.__name__))
            return ["module", one.__name__]
        if not names or names & REACHES_ATTRIBUTES or not is_users(one.__name__):
            raise UnknownPartError(one.__name__)
        if (one.__name__, names) in self.seen:
            return ["seen", self.seen[one.__name__, names][0]]
        self.seen[one.__name__, names] = (len(self.seen), one)
        told = []
        for name in sorted(names & vars(one).keys()):
            value = vars(one)[name]
            inner = isinstance(value, types.ModuleType)
            told.append([name, self.of_module(value, names) if inner else self.of(value)])
        return ["module", one.__name__, told]


ONLY_COMPUTE = {"numpy", "math", "itertools", "functools", "operator", "builtins", "typing", "collections"}
# By these names such a function could give something else the next time.
GIVES_OTHERS = {"random", "open", "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "input", "id", "hash"}
SHARED_GENERATOR = random.seed.__self__  # type: ignore[attr-defined]  # at which ``own_state.py`` looks
# How things are told, by the first kind that they are of.
TELLERS: tuple[tuple[Any, Callable[[Facts, Any], Any]], ...] = (
    (GraphNumber, lambda *_: ["number"]),
    (enum.Enum, lambda facts, one: common_parts.of_member(facts.of, one)),
    (BY_REPR, lambda _, one: [type(one).__name__, repr(one)]),
    (re.Pattern, lambda _, one: ["pattern", repr(one.pattern), one.flags]),
    (type, Facts.of_class),
    (types.ModuleType, lambda facts, one: facts.of_module(one, frozenset())),
    (np.random.Generator, lambda _, one: ["generator", repr(one.bit_generator.state)]),
    (np.random.RandomState, lambda _, one: ["generator", repr(one.get_state(legacy=False))]),
    (random.Random, lambda _, one: ["generator", one is SHARED_GENERATOR or repr(one.getstate())]),
    (tf.distribute.Strategy, lambda _, one: ["strategy"]),  # a process has one
    (keras.KerasTensor, lambda _, one: ["tensor", str(one.shape), str(one.dtype)]),
    (keras.Variable, Facts.of_variable),
    (tf.Variable, Facts.of_plain_variable),
    ((np.ndarray, tf.Tensor), Facts.of_array),
    (Mapping, Facts.of_mapping),
    ((list, tuple, set, frozenset), Facts.of_items),
    (types.MethodType, Facts.of_method),
    (types.FunctionType, Facts.of_function),
    (types.BuiltinFunctionType, Facts.of_builtin),
    (Function, Facts.of_traced),
    (Bind, lambda facts, one: common_parts.of_wrapped(facts.of, one)),
    (StaticHashTable, lambda facts, one: common_parts.of_table(facts.of, one)),
    (logging.Logger, lambda _, one: common_parts.of_logger(one)),
    (type(functools.cache(len)), Facts.of_cached),
    (functools.partial, lambda facts, one: ["partial", *map(facts.of, (one.func, one.args, one.keywords))]),
    ((staticmethod, classmethod), lambda facts, one: [type(one).__name__, facts.of(one.__func__)]),
    (functools.cached_property, lambda facts, one: ["property", facts.of(one.func)]),
    (property, lambda facts, one: ["property", *map(facts.of, (one.fget, one.fset, one.fdel))]),
)
TOLD_BY: dict[type, Callable[[Facts, Any], Any]] = {}  # found once for each class of a library


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without collections of garbage: thousands of new lists bring about many, which take as long again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def root_of(module: str | None) -> str:
    return str(module).partition(".")[0].removeprefix("_")


def home_of(one: object) -> str:
    """The module that something is, or is of."""
    return one.__name__ if isinstance(one, types.ModuleType) else getattr(one, "__module__", "")


def teller_of(one: object) -> Callable[[Facts, Any], Any]:
    tell = next((tell for kinds, tell in TELLERS if isinstance(one, kinds)), Facts.of_object)
    if is_library(type(one).__module__):
        TOLD_BY[type(one)] = tell
    return tell
