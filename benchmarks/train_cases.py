"""The ways to train that ``benchmarks.train_speed`` compares: ``python -m benchmarks.train_cases CASE RANK``.

One process of a case, with ``CASE`` as JSON. Each line of its input lets it train one epoch of ``EPOCHS``, of which it
says then how many seconds it took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

EXAMPLES = 60_000  # of MNIST to train on
EPOCHS = 6


@dataclass(frozen=True)
class Case:
    """One way to train. ``threads`` per process, 0: TensorFlow's own choice, the whole machine.

    ``batch_size`` is that of all processes together, also where each trains for itself.
    """

    name: str
    engine: str  # one of ENGINES, or "ddp" (scripts/ddp_mlp.py)
    model: str
    workers: int
    threads: int
    batch_size: int


def ours(case: Case, rank: int) -> None:
    """This package's engine."""
    epochs_of_engine(case, rank, case.workers, case.batch_size, range(EXAMPLES))


def apart(case: Case, rank: int) -> None:
    """What the engine computes as one of ``workers``, without the others: its part of the examples and of a batch.

    Side by side they share caches, memory and heat as workers do: what these could reach if they had nothing to tell.
    """
    epochs_of_engine(case, 0, 1, case.batch_size // case.workers, range(rank, EXAMPLES, case.workers))


def epochs_of_engine(case: Case, rank: int, size: int, batch_size: int, examples: range) -> None:
    """The epochs of worker ``rank`` of ``size``, over these ``examples`` of MNIST."""
    from nn_train.config import config_from_dict
    from nn_train.datasets import load_data
    from nn_train.engine.joining import join_strategy
    from nn_train.engine.preparation import prepare_model
    from nn_train.engine.strategy import configure_tensorflow

    configure_tensorflow(case.threads, use_gpu=False)
    replicas = join_strategy(rank, size, whole_gpu=False)
    train = {"batch_size": batch_size}
    config = config_from_dict({"model": {"name": case.model}, "data": {"validation_fraction": 0}, "train": train})
    data = load_data(config.data)
    data = replace(data, train=data.train.take(np.array(examples)))
    loop = prepare_model(config, data, replicas).loop()
    for epoch in range(EPOCHS):
        timed(partial(loop.train_epoch, epoch))


def fit(case: Case, rank: int) -> None:
    """The tutorial's script: ``model.fit`` of Keras 3 on floats, TensorFlow's own threads."""
    import keras

    x, y = mnist()
    model = tutorial_mlp(keras)
    for _ in range(EPOCHS):
        timed(lambda: model.fit(x, y, batch_size=case.batch_size, verbose=0))


def legacy(case: Case, rank: int) -> None:
    """What Ray documents: ``tf_keras`` and ``model.fit`` under MWMS, with a batched and repeated dataset."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(case.threads)
    tf.config.threading.set_inter_op_parallelism_threads(case.threads)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    x, y = mnist()
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    examples = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(60_000).repeat()
    dataset = examples.batch(case.batch_size).with_options(options)
    with strategy.scope():
        model = tutorial_mlp(tf.keras)
    steps = len(x) // case.batch_size

    class Clock(tf.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            wait_for_turn()
            self.began = time.monotonic()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            print(time.monotonic() - self.began, flush=True)

    model.fit(dataset, epochs=EPOCHS, steps_per_epoch=steps, verbose=0, callbacks=[Clock()])


def tutorial_mlp(keras: Any) -> Any:
    """Flatten, Dense 128 ReLU, Dropout 0.2, Dense 10 softmax; Adam; sparse categorical cross-entropy."""
    layers = keras.layers
    stack = [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.2)]
    model = keras.Sequential([keras.Input((28, 28)), *stack, layers.Dense(10, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def mnist() -> tuple[Any, Any]:
    """Training images as floats in [0, 1], and labels."""
    from nn_train.datasets.sources import read_mnist

    arrays = read_mnist()
    return (arrays["x_train"] / 255.0).astype("float32"), arrays["y_train"].astype("int64")


def timed(action: Callable[[], object]) -> None:
    """Do it when this process is asked, and say how long it took."""
    wait_for_turn()
    began = time.monotonic()
    action()
    print(time.monotonic() - began, flush=True)


def wait_for_turn() -> None:
    if not sys.stdin.readline():
        sys.exit("nobody asks any more")


ENGINES = {"ours": ours, "apart": apart, "fit": fit, "legacy": legacy}

if __name__ == "__main__":
    given = Case(**json.loads(sys.argv[1]))
    ENGINES[given.engine](given, int(sys.argv[2]))
    sys.stdin.read()  # an end takes time of a processor, which is another case's now
