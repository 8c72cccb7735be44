"""The states of the random generators of a model, which differ between replicas."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.random.seed_generator import global_seed_generator
from tensorflow.python import pywrap_tfe
from tensorflow.python.framework import op_callbacks, op_def_registry

from nn_train.engine.strategy import Replicas


def seed_states(model: keras.Model) -> list[Any]:
    """The variables ``[seed, counter]`` of every Keras random generator that the model can draw from."""
    own = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    return [*own, global_seed_generator().state]


def random_states() -> tuple[Any, ...]:
    """Of the generators that Python and NumPy share with everybody."""
    _, keys, *rest = np.random.get_state(legacy=True)
    return random.getstate(), np.asarray(keys).tobytes(), *rest


def separate_seeds(model: keras.Model, replicas: Replicas) -> None:
    """Give every rank its own random draws; rank 0 keeps those of a run without a strategy.

    All replicas are built from one Keras seed, so without this they drop the same units. Only the seed is
    changed, not the counter: a state restored from the chief's is separated in the same way.
    """
    if replicas.rank == 0:
        return
    for state in seed_states(model):
        seed, counter = (int(part) for part in np.asarray(state.value))
        mixed = np.random.SeedSequence((seed, replicas.rank)).generate_state(1)[0] >> 1
        state.assign(np.array([mixed, counter], dtype=state.dtype))


# Operations that keep something of their own, but draw nothing: they hold, read and write variables, or hold a table.
OF_VARIABLES = re.compile(
    r"VarHandleOp|(Read|Assign|Var)\w*VariableOp|VarIsInitializedOp|DestroyResourceOp|VariableShape"
    r"|HashTableV2|AnonymousHashTable|InitializeTable\w*|LookupTable(Import|Export|Size|Find)V2"
)


@contextlib.contextmanager
def kernels_kept() -> Iterator[list[str]]:
    """Within, ``keras.utils.set_random_seed`` leaves TensorFlow's compiled operations, which take 0.3 ms each to be
    made again, and a traced training 20 ms.

    Gives the operations that were run meanwhile and have a state of their own: ``tf.random.normal`` and the like, and
    functions with such, not Keras' layers. They would go on from where they were: what they gave is of no use.
    """
    clear, ran = pywrap_tfe.TFE_ContextClearCaches, []

    def note(kind: bytes, *_: Any, graph: Any = None, **__: Any) -> None:
        name = tf.compat.as_str(kind)
        if graph is None and OF_VARIABLES.fullmatch(name) is None:  # else nothing is run yet
            about = op_def_registry.get(name)
            ran.extend([name] if about is None or about.is_stateful else [])  # none: a function that was traced

    pywrap_tfe.TFE_ContextClearCaches = lambda context: None
    op_callbacks.add_op_callback(note)
    try:
        yield ran
    finally:
        op_callbacks.remove_op_callback(note)
        pywrap_tfe.TFE_ContextClearCaches = clear
