"""The states of the random generators of a model, which differ between replicas."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from tensorflow.python import pywrap_tfe

from nn_train.engine.monkeypatch import replaced
from nn_train.engine.strategy import Replicas

GLOBAL_GENERATOR = "global_seed_generator"  # what Keras calls it


def global_generator() -> keras.random.SeedGenerator | None:
    """Keras' generator for what has none of its own; None before something has drawn from it."""
    return global_state.get_global_attribute(GLOBAL_GENERATOR)


def set_global_generator(generator: keras.random.SeedGenerator | None) -> None:
    global_state.set_global_attribute(GLOBAL_GENERATOR, generator)


def global_states() -> list[Any]:
    """The variable of Keras' generator for everybody, if there is one."""
    generator = global_generator()
    return [generator.state] if generator is not None else []


def seed_states(model: keras.Model) -> list[Any]:
    """The variables ``[seed, counter]`` of every Keras random generator that the model can draw from."""
    own = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    if global_generator() is None:
        set_global_generator(keras.random.SeedGenerator())
    return [*own, *global_states()]


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


@contextlib.contextmanager
def kernels_kept() -> Iterator[None]:
    """Within, ``keras.utils.set_random_seed`` leaves TensorFlow's compiled operations, which take 0.3 ms each to be
    made again, and a traced training 20 ms.

    ``tf.random.normal`` and the like, not Keras' initializers and layers, go on from where they were.
    """
    with replaced(pywrap_tfe, "TFE_ContextClearCaches", lambda context: None):
        yield
