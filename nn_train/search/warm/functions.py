"""Whether a process may call a function of the user's more than once: whether its next model is like that of a new one.

It may draw initial weights from a generator of its module, count its calls, or give a layer that it has made before,
trained meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from keras.src.backend.common import global_state

from nn_train.config.entry_points import function_of
from nn_train.engine.fit.random_state import global_generator, states, take_over
from nn_train.engine.seeds import kernels_kept
from nn_train.search.warm.facts import Facts
from nn_train.search.warm.known_parts import NOT_KNOWN


@dataclass(frozen=True)
class State:
    """Of a function and of what it can reach.

    Attributes:
        digest: None where that is not known.
        sets_libraries: whether it changes a library, for all models of a process.
    """

    digest: str | None
    sets_libraries: bool

    def must_end(self, after: State) -> bool:
        """Whether only a new process gives such a model again. ``after``: its state when it was called."""
        return self.sets_libraries or (self.digest is not None and after.digest != self.digest)


def state_of(name: str) -> State:
    """That of the function ``name`` now.

    Raises:
        RequestError: there is no such function.
    """
    facts, digest = Facts(), None
    with contextlib.suppress(*NOT_KNOWN):
        digest = facts.digest(function_of("model.name", name))
    return State(digest, facts.sets_libraries)


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
