"""The user's callbacks run on the chief alone: it writes, prints and decides once, and the others follow."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.collectives import sums, told_by_chief
from nn_train.engine.strategy import Replicas

Logs = dict[str, Any]
OLD_NAMES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}
STOPS = ("stop_training", "stop_evaluating", "stop_predicting")
BATCHES = ("train_batch", "test_batch", "predict_batch")

# Keras' callbacks that change no variable between batches; not those that are derived from them.
ONLY_LOOK = {
    getattr(keras.callbacks, name)
    for name in ("ModelCheckpoint", "BackupAndRestore", "CSVLogger", "ProgbarLogger", "TensorBoard", "TerminateOnNaN")
}
MODULES_OF_KERAS = {one.__module__ for one in vars(keras.callbacks).values() if isinstance(one, type)}


class OnAllWorkers(keras.callbacks.Callback):
    """A callback that runs on every worker, after those of the chief; to derive from."""


class ChiefOnly(keras.callbacks.Callback):
    """Runs callbacks on the chief, and shares with all workers what they have done.

    That is: whether to stop, from which epoch to go on, and, where a training goes on after them, the model's and the
    optimizer's variables. Python is entered between batches only where one of them listens to batches.

    Args:
        given: of the user's call, on every worker; those of the chief are called.
        workers: of this training.
        share: lets all workers take over the variables of the chief.
        check_length: is told how many batches follow, where that is known; all workers must have as many.
        alone: entered while callbacks run.
    """

    def __init__(
        self,
        given: list[Any],
        workers: Replicas,
        share: Callable[[], None],
        check_length: Callable[[int | None], None],
        alone: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__()
        self.everywhere = [one for one in given if isinstance(one, OnAllWorkers)]
        self.inner = [one for one in given if one not in self.everywhere] if workers.is_chief else []
        self.workers, self.share, self.check_length, self.alone = workers, share, check_length, alone
        listens = {kind: any(listens_to(one, kind) for one in given) for kind in BATCHES}
        changing = [one for one in given if type(one) not in ONLY_LOOK]
        listens |= {"any": bool(given), "changes": any(listens_to(one, "train_batch") for one in changing)}
        self.listens = told_by_chief(listens, workers)

    def set_params(self, params: Logs) -> None:
        super().set_params(params)
        for callback in [*self.inner, *self.everywhere]:
            callback.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        for callback in [*self.inner, *self.everywhere]:
            callback.set_model(model)

    def call(self, hook: str, *arguments: object, share: bool = True) -> None:
        """Run a hook on the chief, then share. An error of a callback is raised on all workers. Collective.

        The last of the arguments are logs, to which callbacks may add what History then keeps.
        """
        if not self.listens["any"]:
            return
        error: Exception | None = None
        try:
            with self.alone():
                for callback in self.inner:
                    getattr(callback, hook)(*arguments)
        except Exception as raised:
            error = raised
        flags = {name: getattr(self.model, name, False) for name in STOPS}
        flags |= {"_initial_epoch": getattr(self.model, "_initial_epoch", None)}
        own = arguments[-1]
        failed, flags, logs = told_by_chief((portable(error), flags, own), self.workers)
        if error is not None or failed is not None:
            raise error or failed
        for name, value in flags.items():
            setattr(self.model, name, value)
        if isinstance(own, dict):
            own.update(logs)
        for callback in self.everywhere:
            getattr(callback, hook)(*arguments)
        if share:
            self.share()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.check_length(self.params.get("steps"))
        self.call("on_train_begin", logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.call("on_train_end", logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.call("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.call("on_epoch_end", epoch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        in_fit = self.model._eval_epoch_iterator if hasattr(self.model, "_eval_epoch_iterator") else None
        self.check_length(self.params.get("steps") if in_fit is None else in_fit.num_batches)
        self.call("on_test_begin", logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self.call("on_test_end", logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self.check_length(self.params.get("steps"))
        self.call("on_predict_begin", logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self.call("on_predict_end", logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self.call_batch("train_batch", "begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.call_batch("train_batch", "end", batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self.call_batch("test_batch", "begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.call_batch("test_batch", "end", batch, logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self.call_batch("predict_batch", "begin", batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.call_batch("predict_batch", "end", batch, logs)

    def call_batch(self, kind: str, moment: str, batch: int, logs: Logs | None) -> None:
        if self.listens[kind]:
            self.call(f"on_{kind}_{moment}", batch, logs, share=kind == "train_batch" and self.listens["changes"])


def portable(error: Exception | None) -> Exception | None:
    """An error that can be raised on another worker: itself, or what it says."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"a callback failed on the chief: {type(error).__name__}: {error}")
    return error


def listens_to(callback: keras.callbacks.Callback, kind: str) -> bool:
    """Whether a callback does something at the batches of training, evaluation or prediction."""
    return any(hears(callback, f"on_{kind}_{moment}") for moment in ("begin", "end"))


def is_default(method: Any) -> bool:
    """Return whether a hook is that of ``keras.callbacks.Callback``, which does nothing."""
    function = getattr(method, "__func__", method)
    return function is getattr(keras.callbacks.Callback, getattr(function, "__name__", ""), None)


def hears(callback: keras.callbacks.Callback, hook: str) -> bool:
    """Whether a callback does something at a moment. Some of Keras' own do so at batches only where they were asked."""
    methods = [getattr(callback, name) for name in (hook, OLD_NAMES.get(hook, hook))]
    modules = [str(getattr(method, "__module__", "")) for method in methods if not is_default(method)]
    if "_batch_" not in hook or not MODULES_OF_KERAS.issuperset(modules):
        return bool(modules)
    asked = {getattr(callback, name, "epoch") for name in ("save_freq", "update_freq")} != {"epoch"}
    asked |= getattr(callback, "write_steps_per_second", False) or getattr(callback, "_start_batch", 0) > 0
    always = (keras.callbacks.ProgbarLogger, keras.callbacks.TerminateOnNaN)
    return bool(modules) and (asked or isinstance(callback, always))


def share_variables(variables: list[Any], workers: Replicas) -> None:
    """Overwrite ``variables`` on every worker with the chief's values, which no rounding changes. Collective."""
    kinds: dict[str, list[Any]] = {}
    for variable in variables:
        kinds.setdefault(str(np.asarray(variable.value).dtype), []).append(variable)
    for of_kind in kinds.values():
        values = [np.asarray(variable.value) for variable in of_kind]
        flat = np.concatenate([value.reshape(-1) for value in values])
        if not workers.is_chief:
            flat = np.zeros_like(flat)
        given = np.asarray(sums([tf.constant(flat)], workers)[0])
        parts = np.split(given, np.cumsum([value.size for value in values])[:-1])
        for variable, value, part in zip(of_kind, values, parts, strict=True):
            if workers.is_chief:
                continue
            variable.assign(part.reshape(value.shape))
