"""Whether a process may call a function of the user's more than once: whether its next model is like that of a new one.

It may draw initial weights from a generator of its module, count its calls, or give a layer that it has made before,
trained meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from keras.src.backend.common import global_state

from nn_train.config.entry_points import function_of
from nn_train.engine.fit.random_state import global_generator, states, take_over
from nn_train.engine.seeds import kernels_kept
from nn_train.search.warm.facts import Facts


@dataclass(frozen=True)
class State:
    """Of a function and of what it can reach.

    Attributes:
        digest: of what is known of that.
        sets_libraries: whether it changes a library, for all models of a process.
        traced: each ``tf.function`` of the user's.
    """

    digest: str
    sets_libraries: bool
    traced: tuple[Any, ...]

    def must_end(self, after: State) -> bool:
        """Whether only a new process gives such a model again. ``after``: its state when it was called."""
        return self.sets_libraries or after.digest != self.digest

    def forget_traces(self) -> None:
        """What is traced from now on has the state of now: where that has changed, an earlier trace is of another."""
        for one in self.traced:
            one._function_cache.clear()


def state_of(field: str, name: str) -> State:
    """That of the function ``name`` now. ``field``: what names it, such as ``model.name``.

    Raises:
        RequestError: there is no such function.
    """
    facts = Facts(all_known=False)
    return State(facts.digest(function_of(field, name)), facts.sets_libraries, tuple(facts.traced))


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
