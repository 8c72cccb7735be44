"""Whether a process may call a function of the user's more than once: whether its next model is like that of a new one.

It may draw initial weights from a generator of its module, count its calls, or give a layer that it has made before,
trained meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from keras.src.backend.common import global_state

from nn_train.config.entry_points import function_of
from nn_train.engine.fit.random_state import global_generator, states, take_over
from nn_train.engine.seeds import kernels_kept
from nn_train.search.warm.facts import Facts
from nn_train.search.warm.known_parts import NOT_KNOWN


def state_of(name: str) -> str | None:
    """Digest of the function ``name`` and of what it can reach; None where that is not known.

    Raises:
        RequestError: there is no such function.
    """
    try:
        return Facts().digest(function_of("model.name", name))
    except NOT_KNOWN:
        return None


@contextlib.contextmanager
def random_states_kept() -> Iterator[None]:
    """What is drawn within is as if it had not been."""
    generator, kept = global_generator(), states()
    try:
        yield
    finally:
        global_state.set_global_attribute("global_seed_generator", generator)
        with kernels_kept():
            take_over(kept)
