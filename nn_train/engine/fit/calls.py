"""``scope``, ``fit``, ``evaluate``, ``predict`` and ``install``: what a user's script calls."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.collectives import told_by_chief
from nn_train.engine.fit.arguments import check_arguments, refuse_own_functions
from nn_train.engine.fit.callbacks import BATCHES, ChiefOnly, listens_to
from nn_train.engine.fit.functions import step_function
from nn_train.engine.fit.own_scope import refuse_within_scopes, strategy_around
from nn_train.engine.fit.under_way import UnderWay, under_way_of
from nn_train.engine.fit.workers import join
from nn_train.engine.model_state import make_plain
from nn_train.engine.monkeypatch import replaced
from nn_train.engine.random_state import take_over_random_states
from nn_train.engine.spread import spread_predictions, spread_step
from nn_train.engine.strategy import Replicas

KERAS = {name: getattr(keras.Model, name) for name in ("fit", "evaluate", "predict")}  # as Keras has them
KINDS = ("train", "test", "predict")
KEPT = "_of_all_workers"  # of a model's attributes: what it was compiled with, and the functions for that
COMPILED = ("optimizer", "_compile_loss", "_compile_metrics", "_compile_config", "run_eagerly")
IN_PLACE: dict[str, Any] = {}  # what stands in the place of Keras' functions, by their names
AT_ONCE = 32  # batches of a graph call where nobody is told of single ones
chief_alone: list[keras.Model] = []  # whose callbacks run now
own_under_way: set[tuple[int, str]] = set()  # models whose class has such a method, which runs now


@contextlib.contextmanager
def scope() -> Iterator[None]:
    """Join the workers that ``TF_CONFIG`` names, once, and build the model here: with the same weights on all.

    Without ``TF_CONFIG``, or where it names one worker, nothing is done.

    Raises:
        RequestError: TensorFlow has worked before, so that it can join nobody any more; or a strategy's scope is
            entered.
    """
    refuse_within_scopes()
    take_over_random_states(join())
    yield


def is_chief() -> bool:
    """Return whether this is the first of the workers that ``TF_CONFIG`` names, which alone should write files.

    The others do the same as it but for that; a ``model.save`` needs no other worker. True without ``TF_CONFIG``.
    """
    return join(strategy_around(None)).is_chief


def install() -> None:
    """Put ``fit``, ``evaluate`` and ``predict`` of this package in the place of Keras' in this process.

    Call it before TensorFlow does anything. Raises what ``scope`` raises.
    """
    take_over_random_states(join(strategy_around(None)))
    for name, function in IN_PLACE.items():
        setattr(keras.Model, name, function)


def in_place(name: str) -> Any:
    """What stands in the place of a function of Keras'."""

    @functools.wraps(KERAS[name])
    def function(self: keras.Model, *args: object, **named: Any) -> Any:
        return call(name, self, args, named)

    return function


IN_PLACE.update({name: in_place(name) for name in KERAS})


@functools.wraps(KERAS["fit"])
def fit(self: keras.Model, *args: object, **named: Any) -> Any:
    """``model.fit`` of Keras, with its arguments, on all workers of ``TF_CONFIG``.

    All of them call it, with the same data. ``batch_size`` is that of all workers together; the callbacks run on the
    first, the chief. With one worker it is Keras' own.

    Returns:
        Keras' ``History``, the same on all workers.

    Raises:
        RequestError: what several workers would compute otherwise than one, before the first step, on all of them; or
            they see other batches than the chief.
    """
    return call_as_method("fit", self, args, named)


@functools.wraps(KERAS["evaluate"])
def evaluate(self: keras.Model, *args: object, **named: Any) -> Any:
    """``model.evaluate`` of Keras likewise."""
    return call_as_method("evaluate", self, args, named)


@functools.wraps(KERAS["predict"])
def predict(self: keras.Model, *args: object, **named: Any) -> Any:
    """``model.predict`` of Keras likewise: every worker gets the outputs for all rows."""
    return call_as_method("predict", self, args, named)


def call_as_method(name: str, model: keras.Model, args: tuple[object, ...], named: dict[str, Any]) -> Any:
    """Call a method of the model: where its class has one of its own, this one, for which Keras' is in place."""
    under_way = id(model), name
    if not isinstance(model, keras.Model) or under_way in own_under_way or not is_own(model, name):
        return call(name, model, args, named)
    with contextlib.ExitStack() as stack:
        own_under_way.add(under_way)  # it may call ``nn_train.fit`` instead of Keras'
        stack.callback(own_under_way.discard, under_way)
        for one, function in IN_PLACE.items():
            stack.enter_context(replaced(keras.Model, one, function))
        return getattr(model, name)(*args, **named)


def is_own(model: keras.Model, name: str) -> bool:
    return getattr(type(model), name) not in (KERAS[name], IN_PLACE[name])


def call(name: str, model: keras.Model, args: tuple[object, ...], named: dict[str, Any]) -> Any:
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__name__}"
        raise TypeError(
            f"expected a model of Keras {keras.__version__}, got {kind}; build it with `import keras`: where "
            "TF_USE_LEGACY_KERAS is set, as in Ray's TensorflowTrainer, tf.keras is the legacy one"
        )
    strategy = strategy_around(model)
    workers = join(strategy)
    if workers.size > 1:
        refuse_within_scopes()
    if strategy is not None:
        make_plain(model)
    if workers.size == 1 or id(model) in under_way_of or chief_alone:
        return KERAS[name](model, *args, **named)
    return call_spread(name, model, workers, args, named)


def call_spread(
    name: str, model: keras.Model, workers: Replicas, args: tuple[object, ...], named: dict[str, Any]
) -> Any:
    try:
        bound = inspect.signature(KERAS[name]).bind(model, *args, **named)
    except TypeError as error:
        check_arguments(name, {"error": str(error)}, workers)  # the others would wait
        raise
    bound.apply_defaults()
    check_arguments(name, bound.arguments, workers)
    refuse_own_functions(model, name, bound.arguments)
    given = bound.arguments["callbacks"]
    with spread(model, workers) as under_way:
        take_over_random_states(workers)
        callbacks = [given] if isinstance(given, keras.callbacks.CallbackList) else keras.tree.flatten(given or [])
        bound.arguments["callbacks"] = [
            ChiefOnly(
                callbacks,
                workers,
                under_way.share,
                under_way.check_length,
                lambda: alone(model),
            )
        ]
        listened = told_by_chief(listens_to_steps(given, bound.arguments), workers)
        if not workers.is_chief:
            bound.arguments["verbose"] = 0
        with contextlib.nullcontext() if listened else many_at_once(model):
            return KERAS[name](*bound.args, **bound.kwargs)


def listens_to_steps(given: object, arguments: dict[str, Any]) -> bool:
    """Whether somebody is told of single batches, were it the progress bar, or the call ends after so many of them."""
    limits = ("steps", "steps_per_epoch", "validation_steps")
    if any(arguments.get(name) for name in limits) or keras.config.max_steps_per_epoch():
        return True
    callbacks = given.callbacks if isinstance(given, keras.callbacks.CallbackList) else keras.tree.flatten(given or [])
    if any(listens_to(one, kind) for one in callbacks for kind in BATCHES):
        return True
    counts = is_array(arguments["x"])  # otherwise a line for each epoch says how many batches it had, as they are told
    return arguments["verbose"] != 0 and not (arguments["verbose"] == 2 and counts)


def is_array(x: object) -> bool:
    return all(isinstance(leaf, np.ndarray | tf.Tensor) for leaf in keras.tree.flatten(x))


@contextlib.contextmanager
def many_at_once(model: keras.Model) -> Iterator[None]:
    """Meanwhile a call of the model's functions takes ``AT_ONCE`` batches, where it was compiled to take one."""
    kept = model.steps_per_execution
    try:
        model.steps_per_execution = AT_ONCE if kept == 1 else kept
        yield
    finally:
        model.steps_per_execution = kept


@contextlib.contextmanager
def spread(model: keras.Model, workers: Replicas) -> Iterator[UnderWay]:
    """Meanwhile Keras' functions of the model's steps are those that all workers run together.

    They are kept for the next call. Afterwards the model has again those that it had: its methods, called by one
    worker, are Keras' own.
    """
    made = {
        "train": lambda: spread_step(model, "train_step", workers),
        "test": lambda: spread_step(model, "test_step", workers),
        "predict": lambda: spread_predictions(model, workers),
    }
    under_way = under_way_of[id(model)] = UnderWay(model, workers)
    compiled = [getattr(model, name, None) for name in COMPILED]
    kinds_of_numbers = [layer.dtype_policy.name for layer in model._flatten_layers()]  # which ``quantize`` changes
    known = vars(model).setdefault(KEPT, [])
    if (
        not known
        or known[1] != kinds_of_numbers
        or any(one is not other for one, other in zip(known[0], compiled, strict=True))
    ):
        functions = {kind: step_function(model, kind, make(), workers) for kind, make in made.items()}
        known[:] = [compiled, kinds_of_numbers, functions]
    try:
        with put_in_place(model, known[2]):
            yield under_way
    finally:
        del under_way_of[id(model)]


@contextlib.contextmanager
def put_in_place(model: keras.Model, of_kinds: dict[str, Any]) -> Iterator[None]:
    """Meanwhile ``model.train_function`` and the like are these, and nobody makes others."""
    kept = {kind: getattr(model, f"{kind}_function") for kind in KINDS}
    try:
        with contextlib.ExitStack() as stack:
            for kind in KINDS:
                setattr(model, f"{kind}_function", of_kinds[kind])
                stack.enter_context(replaced(model, f"make_{kind}_function", lambda force=False: None))
            yield
    finally:
        for kind, function in kept.items():
            setattr(model, f"{kind}_function", function)


@contextlib.contextmanager
def alone(model: keras.Model) -> Iterator[None]:
    """Meanwhile what is called here, in a callback, is of this worker alone, with functions of Keras' own."""
    kept = {kind: getattr(model, f"{kind}_function") for kind in KINDS}
    at_once, model.steps_per_execution = model.steps_per_execution, under_way_of[id(model)].steps_per_execution
    chief_alone.append(model)
    try:
        with contextlib.ExitStack() as stack:
            for kind in KINDS:
                setattr(model, f"{kind}_function", None)
                name = f"make_{kind}_function"
                stack.enter_context(replaced(model, name, getattr(type(model), name).__get__(model)))
            yield
    finally:
        chief_alone.pop()
        model.steps_per_execution = at_once
        for kind, function in kept.items():
            setattr(model, f"{kind}_function", function)
