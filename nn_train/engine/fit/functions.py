"""What Keras calls with batches, in the place of ``model.train_function`` and the like: whole ones on every worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras.src.trainers.data_adapters import data_adapter_utils

from nn_train.engine.fit.checks import check_model
from nn_train.engine.fit.own_scope import make_plain
from nn_train.engine.fit.own_steps import check_step
from nn_train.engine.fit.under_way import check_same, leaves_of, under_way_of, without_optionals
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest


def step_function(model: keras.Model, kind: str, step: Callable[[Any], Any], workers: Replicas) -> Callable[..., Any]:
    """What Keras calls with an iterator over batches, or, for predictions, with batches.

    One batch a graph call: the messages of a shorter batch are shorter, which one graph cannot do.
    """
    graphs: dict[Any, Any] = {}  # by the structure of the batches, and the shapes that they are known to have
    checked = False

    def graph_of(data: Nest, specs: list[Any] | None) -> Any:
        """A graph for batches like ``data``. As Keras does, it takes from an iterator what shapes all batches have."""
        signature = None if specs is None else [specs]

        def on_leaves(leaves: list[Any]) -> Any:
            given = iter(leaves)
            return step(keras.tree.map_structure(lambda leaf: None if leaf is None else next(given), data))

        return tf.function(on_leaves, input_signature=signature, reduce_retracing=signature is None, autograph=False)

    def graph_for(data: Nest, specs: list[Any] | None) -> Any:
        key = str(keras.tree.map_structure(lambda leaf: leaf is None, data)), repr(specs)
        if key not in graphs:
            graphs[key] = graph_of(data, specs)
        return graphs[key]

    def on_batch(data: Nest, specs: list[Any] | None) -> Any:
        nonlocal checked
        under_way = under_way_of[id(model)]
        if not under_way.begun:
            build(model, data)
            make_plain(model)  # metrics that the user made in a scope are the model's only now
            if not model.run_eagerly:  # makes what could not be built
                graph_for(data, specs).get_concrete_function(leaves_of(data))
            under_way.begin()
        if not checked:
            checked = check_model(model, data)
            if checked and kind != "predict":
                check_step(model, f"{kind}_step", data, workers)
        return step(data) if model.run_eagerly else graph_for(data, specs)(leaves_of(data))

    def function(batches: Any) -> Any:
        outputs: list[Any] = []
        specs = leaves_of(getattr(batches, "element_spec", None)) or None
        batches = iter(batches)
        while len(outputs) < model.steps_per_execution:
            data = without_optionals(next(batches, None))
            check_same(data, workers)
            if data is None:
                break
            outputs.append(on_batch(data, specs))
        if not outputs:
            raise StopIteration
        if kind == "predict":
            return keras.tree.map_structure(lambda *parts: tf.concat(parts, axis=0), *outputs)
        return outputs[-1]

    return function


def build(model: keras.Model, data: Nest) -> None:
    """Make what a compiled model needs before its first step, as far as that can be told without one."""
    if model.compiled:
        with contextlib.suppress(Exception):  # said again, and better, by the step
            model._symbolic_build(data_batch=data_adapter_utils.unpack_x_y_sample_weight(data))
