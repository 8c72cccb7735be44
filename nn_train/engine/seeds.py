"""The states of the random generators of a model, which differ between replicas."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras.src.random.seed_generator import global_seed_generator

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
