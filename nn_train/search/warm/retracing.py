"""Tracing a model once more, by which its numbers become settable where they are in a graph by then.

Code of the user's may compute another thing the second time: it may count, or have set a flag. Then only its first
graph is that of a new model.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from nn_train.datasets import SplitData
from nn_train.engine.local_peers import OPERATION
from nn_train.engine.preparation import PreparedModel, sample_rows
from nn_train.engine.steps import call
from nn_train.runs.checkpoints import state_variables
from nn_train.search.warm.facts import Facts
from nn_train.search.warm.own_builds import OwnBuild, facts_of
from nn_train.search.warm.own_code import TRACED

OF_NAMES = {"_gradient_op_type", "_user_specified_name"}  # attributes of operations


def is_in_graphs(prepared: PreparedModel, own: OwnBuild | None) -> bool:
    """Whether numbers of a model may stand in a graph already: in that of its steps, or in a ``tf.function``."""
    return prepared.whole is not None or (own is not None and TRACED in own.words)


def computes_the_same_again(prepared: PreparedModel, data: SplitData) -> bool:
    """Whether a second trace of a model gives the graph of the first, and leaves the model as it was.

    If not, the model is no more what it was.
    """
    try:
        first = seen(prepared, data)
        trace_again(prepared)
        return seen(prepared, data) == first
    except Exception:  # of the user's code, which need not go through it twice
        return False


def seen(prepared: PreparedModel, data: SplitData) -> list[Any]:
    """The graph, what it holds, what the model is, and which functions in it were traced."""
    graph = graph_of(prepared, data)
    held = [id(one) if one.dtype == tf.resource else one.numpy().tobytes() for one, _ in graph.captures]
    facts = Facts(state_variables(prepared.model))
    return [
        described(graph),
        held,
        facts.digest(prepared.model),
        [len(one._function_cache) > 0 for one in traced_in(facts)],
    ]


def graph_of(prepared: PreparedModel, data: SplitData) -> tf.Graph:
    """That of a training step, or of a call of the model where its steps have none yet."""
    traced = training_call(prepared.model, data) if prepared.whole is None else prepared.whole.train_graph
    return traced.get_concrete_function().graph


def training_call(model: keras.Model, data: SplitData) -> Any:
    """A ``tf.function`` that calls a model, as its steps do."""
    x = sample_rows(data, 1)[0]
    specs = [tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype) for leaf in tf.nest.flatten(x)]

    def on_leaves(*leaves: tf.Tensor) -> Any:
        return call(model, tf.nest.pack_sequence_as(x, leaves), training=True)

    return tf.function(on_leaves, input_signature=specs, autograph=False)


def trace_again(prepared: PreparedModel) -> None:
    """From now on the graphs of a model are those of what it is now."""
    for one in traced_in(facts_of(prepared.model)):
        one._function_cache.clear()
    if prepared.whole is not None:
        prepared.whole.trace()


def traced_in(facts: Facts) -> list[Any]:
    """Each ``tf.function`` of a model; where it is a method, that of each of its objects."""
    methods = [item for function in facts.traced for item in function._descriptor_cache.items()]
    return [*facts.traced, *(function for owner, function in methods if id(owner) in facts.seen)]


def described(graph: tf.Graph) -> str:
    """A digest of a graph and the functions in it, but for names, in which there are numbers of the process."""
    told = graph.as_graph_def()
    functions = {one.signature.name: one for one in told.library.function}

    @functools.cache
    def of_function(name: str) -> str:
        one = functions[name]
        nodes = [*one.signature.input_arg, *one.node_def]
        given = [one.ret[output.name] for output in one.signature.output_arg]
        return digest(of_nodes(one.node_def, at := places(nodes)), [at_place(output, at) for output in given])

    def of_nodes(nodes: Any, at: dict[str, int]) -> list[Any]:
        inputs = ([at_place(one, at) for one in node.input] for node in nodes)
        return [[node.op, node.device, given, of_attributes(node)] for node, given in zip(nodes, inputs, strict=True)]

    def of_attributes(node: Any) -> list[Any]:
        # A message to the other workers is another function of Python's in each trace, which does the same.
        left_out = OF_NAMES | ({"token"} if OPERATION in node.name else set())
        return [[name, of_value(value)] for name, value in sorted(node.attr.items()) if name not in left_out]

    def of_value(value: Any) -> Any:
        called = [one for one in (value.func, *value.list.func) if one.name in functions]
        return [of_function(one.name) for one in called] or value.SerializeToString(deterministic=True)

    return digest(of_nodes(told.node, places(told.node)))


def places(nodes: Iterable[Any]) -> dict[str, int]:
    """Where each is, by its name."""
    return {node.name: at for at, node in enumerate(nodes)}


def at_place(name: str, at: dict[str, int]) -> tuple[bool, int, str]:
    """What an operation is given: ``^name`` where it only waits for that, else ``name:port``."""
    of_whom, _, port = name.removeprefix("^").partition(":")
    return name.startswith("^"), at[of_whom], port


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
