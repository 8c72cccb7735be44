"""The user's Keras callbacks: at the beginning and end of training, epochs and validations, and of batches where asked.

They run on the chief alone: it writes once, prints once and decides once, and what it decided (weights,
learning rate, to stop) is then shared. A callback that looks at the clock cannot make workers disagree.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from nn_train.config import Config
from nn_train.config.entry_points import call_entry_point
from nn_train.engine.collectives import from_chief, share_from_chief
from nn_train.engine.fit.callbacks import ONLY_LOOK, hears
from nn_train.engine.loop import Loop
from nn_train.engine.strategy import Replicas
from nn_train.errors import RequestError
from nn_train.runs import callback_state
from nn_train.runs.callback_state import Memory
from nn_train.runs.checkpoints import assign, state_variables

CLASS = "class"  # in a memory: whose it is; no attribute can have this name


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


class ChiefCallbacks:
    """Runs the callbacks of ``train.callbacks`` on the chief and shares their effects.

    Args:
        config: the job; without ``train.callbacks`` every method does nothing.
        given: what that gives.
        loop: trains the model.
    """

    def __init__(self, config: Config, given: GivenCallbacks, loop: Loop) -> None:
        self.active, self.given = config.train.callbacks is not None, given
        self.loop, self.model, self.replicas = loop, loop.model, loop.replicas
        model, replicas = loop.model, loop.replicas
        self.callbacks: Any = None
        self.recalled: list[Memory] = []
        self.fresh: list[dict[str, bytes]] = []  # of what they know before the first epoch; empty until then
        if not self.active:
            return
        self.stop = keras.Variable(0.0, trainable=False, name="stop", dtype="float32")
        self.share = share_from_chief([*state_variables(model), self.stop], replicas)
        self.tell = from_chief(replicas)
        if given.listed is not None:
            steps, epochs = loop.steps_per_epoch, config.train.epochs
            self.callbacks = keras.callbacks.CallbackList(given.listed, model=model, epochs=epochs, steps=steps)

    def recall(self, memories: list[Memory]) -> list[str]:
        """Let the callbacks go on with what ``memories`` gave. Returns warnings."""
        if not self.callbacks or not memories:
            return []
        if [memory[CLASS] for memory in memories] != [class_of(one) for one in self.remembering()]:
            return ["train.callbacks are others than those of the checkpoint; they begin anew"]
        self.recalled = memories
        return []

    def on_train_begin(self, resumed: bool) -> None:
        """Begin. Where training goes on from a checkpoint, what the callbacks change of the model now is undone."""
        if not self.callbacks:
            return
        self.model.stop_training = False
        variables = state_variables(self.model)
        kept = [np.asarray(variable.value) for variable in variables] if resumed else []
        for callback in self.callbacks.callbacks:
            if self.recalled and isinstance(callback, keras.callbacks.CSVLogger):
                callback.append = True  # the rows of the epochs before are in its file
        self.callbacks.on_train_begin()
        for callback in self.callbacks.callbacks:
            if getattr(callback, "monitor_op", "none") is None:
                with contextlib.suppress(ValueError):  # raised again after the first epoch, if it matters
                    callback._set_monitor_op()  # Keras does so then, and turns the sign of min_delta with it
        if resumed:
            assign(variables, kept)
        self.fresh = [callback_state.fingerprints(attributes_of(one)) for one in self.remembering()]
        self.memories()  # what a get_state() returns that cannot be kept is refused now, not at the first checkpoint
        for one, memory in zip(self.remembering(), self.recalled, strict=False):  # nothing, or one for each
            give_back(one, memory)

    def memories(self) -> list[Memory]:
        """What the callbacks, and the model of their wish to stop, know of the epochs so far. Chief only."""
        if not self.fresh:
            return self.recalled
        return [
            {**memory_of(one, fresh), CLASS: class_of(one)}
            for one, fresh in zip(self.remembering(), self.fresh, strict=True)
        ]

    def remembering(self) -> list[Any]:
        return [self.model, *self.callbacks.callbacks]

    def on_epoch_begin(self, epoch: int, begun: bool) -> bool:
        """Run the chief's callbacks and share what they changed. Returns whether to stop instead.

        ``begun``: a part of the epoch was trained before, after they had run.
        """
        if not self.active:
            return False
        if self.callbacks:
            if not self.model.stop_training and not begun:
                self.callbacks.on_epoch_begin(epoch)
            self.stop.assign(float(self.model.stop_training))
        self.share()
        self.loop.separate_seeds()
        return bool(np.asarray(self.stop.value))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self.callbacks:
            self.callbacks.on_epoch_end(epoch, dict(logs))

    def on_train_end(self) -> None:
        if self.callbacks:
            self.callbacks.on_train_end()

    def moment(self, hook: str, *arguments: object) -> bool:
        """Run a hook of a validation or a batch, and share what it did, where somebody listens to it. Collective.

        Returns:
            whether the training, or for ``on_test…`` the validation, is to stop.
        """
        if hook not in self.given.heard:
            return False
        wish = "stop_evaluating" if hook.startswith("on_test") else "stop_training"
        if self.callbacks:
            getattr(self.callbacks, hook)(*arguments)
        (stop,) = self.tell([float(getattr(self.model, wish, False))])
        if self.given.changing:
            self.share()
            self.loop.separate_seeds()
        return bool(stop)


def class_of(one: object) -> str:
    return f"{type(one).__module__}.{type(one).__qualname__}"


def memory_of(one: object, fresh: dict[str, bytes]) -> Memory:
    """What a callback says of its state, or else what of its attributes is no longer as ``fresh``."""
    if isinstance(one, keras.callbacks.Callback) and callback_state.says_its_state(one):
        return callback_state.said_state(one)
    return callback_state.changed(attributes_of(one), fresh)


def give_back(one: Any, memory: Memory) -> None:
    """Let a callback go on with the state that it said, or with the attributes that were kept."""
    for name, value in memory.items():
        if name == callback_state.STATE:
            if callback_state.says_its_state(one):  # the user's code may have changed since
                one.set_state(callback_state.unpack(value))
        elif name != CLASS:
            setattr(one, name, callback_state.unpack(value))


def attributes_of(one: object) -> dict[str, Any]:
    """What a callback may remember; of the model only whether to stop."""
    return {"stop_training": one.stop_training} if isinstance(one, keras.Model) else vars(one)


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
