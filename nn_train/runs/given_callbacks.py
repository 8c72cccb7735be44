"""What ``train.callbacks`` gives: the callbacks of the chief, and what of a training they want to be told of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from nn_train.config import Config
from nn_train.config.entry_points import call_entry_point
from nn_train.engine.collectives import from_chief
from nn_train.engine.fit.callbacks import ONLY_LOOK, hears
from nn_train.engine.strategy import Replicas
from nn_train.errors import RequestError

BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_test_batch_begin", "on_test_batch_end")
HOOKS = (*BATCH_HOOKS, "on_test_begin", "on_test_end")


@dataclass(frozen=True)
class GivenCallbacks:
    """The user's callbacks.

    Attributes:
        listed: on the chief; elsewhere, and without ``train.callbacks``, None.
        heard: which of ``HOOKS`` somebody listens to. The same on all workers.
        changing: whether one of them may change the model there. The same on all workers.
        unknown: whether one of them is not Keras' own, and may change more of a model than its variables. The same too.
    """

    listed: list[Any] | None = None
    heard: frozenset[str] = frozenset()
    changing: bool = False
    unknown: bool = False

    @property
    def by_batches(self) -> bool:
        """Whether somebody listens to single batches."""
        return bool(self.heard & set(BATCH_HOOKS))


def given_callbacks(config: Config, replicas: Replicas, folder: str) -> GivenCallbacks:
    """Make them on the chief, and tell all workers what they listen to. Collective.

    Args:
        config: the job.
        replicas: this process's place.
        folder: the run's folder, offered to the user's function as ``folder``.

    Raises:
        RequestError: it gives no list of Keras callbacks.
    """
    if config.train.callbacks is None:
        return GivenCallbacks()
    listed: list[Any] | None = None
    if replicas.is_chief:
        listed = call_entry_point("train.callbacks", str(config.train.callbacks), config=config, folder=folder)
        if not isinstance(listed, list | tuple) or not all(isinstance(c, keras.callbacks.Callback) for c in listed):
            raise RequestError(f"train.callbacks: {config.train.callbacks} must return a list of Keras callbacks")
        listed = list(listed)
    heard = [any(is_told(one, hook) for one in listed or ()) for hook in HOOKS]
    heard[-2:] = [any(heard[-2:])] * 2  # Keras' CallbackList counts beginnings and ends
    changing = any(is_told(one, hook) for one in listed or () if type(one) not in ONLY_LOOK for hook in HOOKS)
    unknown = any(is_unknown(one) for one in listed or ())
    *told, changes, more = from_chief(replicas)([*map(float, heard), float(changing), float(unknown)])
    hooks = frozenset(hook for hook, one in zip(HOOKS, told, strict=True) if one)
    return GivenCallbacks(listed, hooks, bool(changes), bool(more))


def is_unknown(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback is of the user's class, or has a hook of its own, as a ``LambdaCallback`` has."""
    of_keras = type(callback).__module__.partition(".")[0] == "keras"
    return not of_keras or any(name.startswith("on_") for name in vars(callback))


def is_told(callback: keras.callbacks.Callback, hook: str) -> bool:
    """Whether a callback is told of a moment: if it listens, but for the one that looks for NaN, which ends a training
    here without it."""
    return hears(callback, hook) and not (hook in BATCH_HOOKS and type(callback) is keras.callbacks.TerminateOnNaN)
