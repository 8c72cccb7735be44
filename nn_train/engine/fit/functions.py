"""What Keras calls with batches, in the place of ``model.train_function`` and the like: whole ones on every worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.src.trainers.data_adapters import data_adapter_utils

from nn_train.engine.fit.graphs import Graphs, alike, joined
from nn_train.engine.fit.under_way import check_same, leaves_of, under_way_of, without_optionals
from nn_train.engine.model_state import make_plain
from nn_train.engine.probe import check_step, refuse_where_whole_runs
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError

PORTION = 2**25  # bytes of batches that are read before they are trained with


def step_function(model: keras.Model, kind: str, step: Callable[[Any], Any], workers: Replicas) -> Callable[..., Any]:
    """What Keras calls with an iterator over batches, or, for predictions, with batches.

    It takes ``model.steps_per_execution`` of them: these are compared with the other workers' in one message, and run
    in one graph call where they are alike.
    """
    graphs = Graphs(step, joins=kind == "predict")
    checked = False

    def first(data: Nest, specs: list[Any] | None) -> None:
        """Make what is missing, and see that all workers begin alike and come to what one does."""
        nonlocal checked
        under_way = under_way_of[id(model)]
        if not under_way.begun:
            build(model, data)
            make_plain(model)  # metrics that the user made in a scope are the model's only now
            if not model.run_eagerly:
                trace(data, specs)
            under_way.begin()
        if not checked:
            checked = True
            check_step(model, kind, data, workers)

    def trace(data: Nest, specs: list[Any] | None) -> None:
        """Make what could not be built."""
        try:
            graphs.trace(data, specs)
        except RequestError:
            raise
        except Exception as error:
            refuse_where_whole_runs(model, kind, data, error)
            raise

    def run(portion: list[Any], specs: list[Any] | None) -> Iterator[Any]:
        first(portion[0], specs)
        if model.run_eagerly:
            yield from map(step, portion)
            return
        while portion:
            count = next((i for i, batch in enumerate(portion) if not alike(portion[0], batch)), len(portion)) or 1
            yield graphs.run(portion[:count], specs)
            portion = portion[count:]

    def function(batches: Any) -> Any:
        outputs: list[Any] = []
        specs = leaves_of(getattr(batches, "element_spec", None)) or None
        for portion in portions(iter(batches), model.steps_per_execution):
            check_same(portion, workers)
            if portion:
                outputs += run(portion, specs)
        if not outputs:
            raise StopIteration
        return joined(outputs) if kind == "predict" else outputs[-1]

    return function


def portions(batches: Iterator[Nest], count: int) -> Iterator[list[Any]]:
    """So many batches, in lists of at most ``PORTION`` bytes; where there are fewer, an empty list at the end.

    The lists are alike on workers that have the same batches, and so are their ends.
    """
    while count > 0:
        portion: list[Any] = []
        size = 0
        while len(portion) < count and size < PORTION:
            batch = next(batches, None)
            if batch is None:
                break
            portion.append(without_optionals(batch))
            size += size_of(portion[-1])
        yield portion
        count = count - len(portion) if portion else 0


def size_of(batch: Nest) -> int:
    """Bytes of the dense tensors of a batch."""
    tensors = [leaf for leaf in leaves_of(batch) if isinstance(leaf, tf.Tensor)]
    return sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in tensors)


def build(model: keras.Model, data: Nest) -> None:
    """Make what a compiled model needs before its first step, as far as that can be told without one."""
    with contextlib.suppress(Exception):  # said again, and better, by the step
        if model.compiled:
            model._symbolic_build(data_batch=data_adapter_utils.unpack_x_y_sample_weight(data))
        elif not model.built:
            model(data_adapter_utils.unpack_x_y_sample_weight(data)[0], training=False)
