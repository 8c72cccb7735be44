"""The states of the random generators of a model, which differ between replicas."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras.src.random.seed_generator import global_seed_generator
from tensorflow.python import pywrap_tfe
from tensorflow.python.framework import random_seed

from nn_train.engine.strategy import Replicas


def seed_states(model: keras.Model) -> list[Any]:
    """The variables ``[seed, counter]`` of every Keras random generator that the model can draw from."""
    own = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    return [*own, global_seed_generator().state]


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
def kernels_kept() -> Iterator[list[Any]]:
    """Within, ``keras.utils.set_random_seed`` leaves TensorFlow's compiled operations, which take 0.3 ms each to be
    made again, and a traced training 20 ms.

    Gives the seeds that operations with a state of their own have asked for (``tf.random.normal`` and the like, not
    Keras' layers). Such would go on from where they were: what was computed with them is of no use.
    """
    clear, get_seed, asked = pywrap_tfe.TFE_ContextClearCaches, random_seed.get_seed, []

    def noted(op_seed: Any) -> Any:
        asked.append(op_seed)
        return get_seed(op_seed)

    pywrap_tfe.TFE_ContextClearCaches, random_seed.get_seed = (lambda context: None), noted
    try:
        yield asked
    finally:
        pywrap_tfe.TFE_ContextClearCaches, random_seed.get_seed = clear, get_seed
