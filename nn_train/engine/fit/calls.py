"""``scope``, ``fit``, ``evaluate``, ``predict`` and ``install``: what a user's script calls."""

from __future__ import annotations

import contextlib
import functools
import inspect
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.data_adapters import data_adapter_utils

from nn_train.engine.fit.callbacks import ChiefOnly, share_variables
from nn_train.engine.fit.checks import check_model
from nn_train.engine.fit.random_state import take_over_random_states
from nn_train.engine.fit.steps import replaced, spread_predictions, spread_step
from nn_train.engine.fit.workers import gather, join, workers_of
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError

KERAS = {name: getattr(keras.Model, name) for name in ("fit", "evaluate", "predict")}  # as Keras has them
KINDS = ("train", "test", "predict")
spread_models: dict[int, Replicas] = {}  # by their identity: those of which a call is under way
chief_alone: list[keras.Model] = []  # whose callbacks run now


@contextlib.contextmanager
def scope() -> Iterator[None]:
    """Join the workers that ``TF_CONFIG`` names, once, and build the model here: with the same weights on all.

    Without ``TF_CONFIG``, or where it names one worker, nothing is done.

    Raises:
        RequestError: TensorFlow has worked before, so that it can join nobody any more.
    """
    take_over_random_states(join())
    yield


def install() -> None:
    """Put ``fit``, ``evaluate`` and ``predict`` of this package in the place of Keras' in this process.

    Call it before TensorFlow does anything. Raises what ``scope`` raises.
    """
    take_over_random_states(join())
    keras.Model.fit, keras.Model.evaluate, keras.Model.predict = fit, evaluate, predict


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
    return call("fit", self, args, named)


@functools.wraps(KERAS["evaluate"])
def evaluate(self: keras.Model, *args: object, **named: Any) -> Any:
    """``model.evaluate`` of Keras likewise."""
    return call("evaluate", self, args, named)


@functools.wraps(KERAS["predict"])
def predict(self: keras.Model, *args: object, **named: Any) -> Any:
    """``model.predict`` of Keras likewise: every worker gets the outputs for all rows."""
    return call("predict", self, args, named)


def call(name: str, model: keras.Model, args: tuple[object, ...], named: dict[str, Any]) -> Any:
    if not isinstance(model, keras.Model):
        raise TypeError(f"expected a model of Keras {keras.__version__}, got {type(model).__module__}")
    workers = workers_of(model)
    if workers.size == 1 or id(model) in spread_models or chief_alone:
        return KERAS[name](model, *args, **named)
    bound = inspect.signature(KERAS[name]).bind(model, *args, **named)
    bound.apply_defaults()
    given = bound.arguments["callbacks"]
    with spread(model, workers):
        take_over_random_states(workers)
        callbacks = [given] if isinstance(given, keras.callbacks.CallbackList) else keras.tree.flatten(given or [])
        bound.arguments["callbacks"] = [ChiefOnly(callbacks, workers, lambda: state_of(model), lambda: alone(model))]
        if not workers.is_chief:
            bound.arguments["verbose"] = 0
        return KERAS[name](*bound.args, **bound.kwargs)


@contextlib.contextmanager
def spread(model: keras.Model, workers: Replicas) -> Iterator[None]:
    """Meanwhile Keras' functions of the model's steps are those that all workers run together."""
    functions = {
        "train": lambda: spread_step(model, "train_step", workers),
        "test": lambda: spread_step(model, "test_step", workers),
        "predict": lambda: spread_predictions(model, workers),
    }
    spread_models[id(model)] = workers
    try:
        with contextlib.ExitStack() as stack:
            for kind, make_step in functions.items():
                stack.enter_context(replaced(model, f"make_{kind}_function", maker(model, kind, make_step, workers)))
            yield
    finally:
        del spread_models[id(model)]


@contextlib.contextmanager
def alone(model: keras.Model) -> Iterator[None]:
    """Meanwhile what is called here, in a callback, is of this worker alone, with functions of Keras' own."""
    kept = {kind: getattr(model, f"{kind}_function") for kind in KINDS}
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
        for kind, function in kept.items():
            setattr(model, f"{kind}_function", function)


def maker(model: keras.Model, kind: str, make_step: Callable[[], Any], workers: Replicas) -> Callable[..., Any]:
    """In the place of ``model.make_…_function``."""
    name = f"{kind}_function"

    def make(force: bool = False) -> Any:
        known = getattr(model, name)
        if force or getattr(known, "of_all_workers", None) is not workers:
            setattr(model, name, step_function(model, kind, make_step(), workers))
        return getattr(model, name)

    return make


def step_function(model: keras.Model, kind: str, step: Callable[[Any], Any], workers: Replicas) -> Callable[..., Any]:
    """What Keras calls with an iterator over batches, or, for predictions, with batches.

    One batch a graph call: the messages of a shorter batch are shorter, which one graph cannot do.
    """
    seen: Any = None  # the iterator of the pass that is under way
    graphs: dict[Any, Any] = {}  # by the structure of the batches, and the shapes that they are known to have

    def graph_of(data: Nest, specs: list[Any] | None) -> Any:
        """A graph for batches like ``data``. As Keras does, it takes from an iterator what shapes all batches have."""
        signature = None if specs is None else [specs]

        def on_leaves(leaves: list[Any]) -> Any:
            given = iter(leaves)
            return step(keras.tree.map_structure(lambda leaf: None if leaf is None else next(given), data))

        return tf.function(on_leaves, input_signature=signature, reduce_retracing=signature is None, autograph=False)

    def function(batches: Any) -> Any:
        nonlocal seen
        outputs: list[Any] = []
        specs = leaves_of(getattr(batches, "element_spec", None)) or None
        for _, data in zip(range(model.steps_per_execution), map(without_optionals, batches), strict=False):
            if batches is not seen and (kind != "predict" or not graphs):
                check_same(data, workers)
                seen = batches
            if not graphs:
                build_alike(model, data, workers)
            key = str(keras.tree.map_structure(lambda leaf: leaf is None, data)), repr(specs)
            if key not in graphs:
                graphs[key] = None if model.run_eagerly else graph_of(data, specs)
            outputs.append(step(data) if model.run_eagerly else graphs[key](leaves_of(data)))
        if not outputs:
            raise StopIteration
        if kind == "predict":
            return keras.tree.map_structure(lambda *parts: tf.concat(parts, axis=0), *outputs)
        return outputs[-1]

    function.of_all_workers = workers  # type: ignore[attr-defined]
    return function


def without_optionals(data: Nest) -> Any:
    """A batch with None where Keras' adapters say that nothing is given."""
    return keras.tree.map_structure(lambda leaf: None if is_optional(leaf) else leaf, data)


def is_optional(leaf: object) -> bool:
    return isinstance(leaf, tf.experimental.Optional | tf.OptionalSpec)


def leaves_of(data: Nest) -> list[Any]:
    """The tensors of a batch, or their specifications."""
    return [leaf for leaf in keras.tree.flatten(data) if leaf is not None and not is_optional(leaf)]


def build_alike(model: keras.Model, data: Nest, workers: Replicas) -> None:
    """Make what the first step would make, and take over the chief's values of all of it. Collective."""
    if model.compiled:
        with contextlib.suppress(NotImplementedError, ValueError, TypeError):  # said again, and better, by the step
            model._symbolic_build(data_batch=data_adapter_utils.unpack_x_y_sample_weight(data))
        check_model(model, data)
    variables = state_of(model)
    if not same_on_all([(tuple(variable.shape), str(variable.dtype)) for variable in variables], [], workers):
        raise RequestError("the workers have different models; build the same on each, in nn_train.scope()")
    share_variables(variables, workers)


def check_same(data: Nest, workers: Replicas) -> None:
    """Raise RequestError where a worker sees another batch than the others, as where each reads a part of the data."""
    leaves = [leaf for leaf in leaves_of(data) if isinstance(leaf, tf.Tensor)]
    contents = [np.ascontiguousarray(leaf).tobytes() for leaf in map(np.asarray, leaves) if leaf.dtype.kind != "O"]
    if not same_on_all([(tuple(leaf.shape), leaf.dtype.name) for leaf in leaves], contents, workers):
        raise RequestError(
            "the workers see different batches; give each of them all of the data, in the same order: the rows of a "
            "batch are dealt out here"
        )


def same_on_all(description: Any, contents: list[bytes], workers: Replicas) -> bool:
    """Whether all workers have the same; the answer is the same on all. Collective."""
    mark = zlib.crc32(repr(description).encode())
    for content in contents:
        mark = zlib.crc32(content, mark)
    return len(set(np.asarray(gather(tf.constant(mark, tf.int64), workers)).tolist())) == 1


def state_of(model: keras.Model) -> list[Any]:
    """All variables that training changes: of the model, its optimizers and its metrics."""
    optimizers = [variable for one in optimizers_of(model) for variable in one.variables]
    found = [*model.variables, *model.metrics_variables, *optimizers]
    return list({id(variable): variable for variable in found}.values())


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """The one it was compiled with, and those in its attributes, also in lists and dicts."""
    values = list(vars(model).values())
    values += [inner for one in values if isinstance(one, list | tuple) for inner in one]
    values += [inner for one in values if isinstance(one, dict) for inner in one.values()]
    return list({id(one): one for one in values if isinstance(one, keras.optimizers.Optimizer)}.values())
