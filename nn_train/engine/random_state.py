"""The random states of a process, which all workers take over from the chief: then they shuffle and draw alike."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from nn_train.engine.collectives import told_by_chief
from nn_train.engine.seeds import global_generator, set_global_generator
from nn_train.engine.strategy import Replicas


def take_over_random_states(workers: Replicas) -> None:
    """Set the chief's states of Python, NumPy, TensorFlow and Keras on all workers. Collective."""
    if workers.size == 1:
        return
    if workers.is_chief and context.global_seed() is None:  # each operation would draw a seed of its own
        tf.random.set_seed(int.from_bytes(os.urandom(4), "little"))
    state = told_by_chief(states() if workers.is_chief else None, workers)
    if not workers.is_chief:
        take_over(state)


@contextlib.contextmanager
def random_states_kept() -> Iterator[None]:
    """Set this process's states back to what they were before."""
    before = states()
    try:
        yield
    finally:
        take_over(before)


def states() -> tuple[Any, ...]:
    generator, now = global_generator(), context.context()
    of_keras = None if generator is None else np.asarray(generator.state.value)
    return random.getstate(), np.random.get_state(), context.global_seed(), now._rng.getstate(), of_keras


def take_over(state: tuple[Any, ...]) -> None:
    of_python, of_numpy, seed, of_operations, of_keras = state
    random.setstate(of_python)
    np.random.set_state(of_numpy)
    tf.random.set_seed(seed)
    context.context()._rng.setstate(of_operations)
    generator = global_generator()
    if of_keras is None:
        set_global_generator(None)
    elif generator is not None:
        generator.state.assign(of_keras)
