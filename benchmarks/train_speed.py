"""Seconds an epoch of MNIST, against what a user would write instead, in one run.

    python -m benchmarks.train_speed [--json FILE]

All cases take turns, ROUNDS times, each time in fresh processes: a machine that others use as well is slow
for minutes, which must not hit one case alone. Shown is the median over the epochs of all rounds, the first
of each round (tracing) left out. All cases train on the 60,000 examples without validation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_train.engine.addresses import free_addresses, tf_config

ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """One way to train. ``threads`` per worker, 0: TensorFlow's own choice, the whole machine."""

    name: str
    engine: str  # "ours", "fit" (Keras 3) or "legacy" (tf_keras under MWMS)
    model: str
    workers: int
    threads: int
    batch_size: int
    epochs: int


CASES = (
    Case("mlp, tutorial's model.fit", "fit", "mlp", 1, 0, 128, 5),
    Case("mlp, 1 worker of 1 thread", "ours", "mlp", 1, 1, 128, 5),
    Case("mlp, 2 workers of 1 thread", "ours", "mlp", 2, 1, 128, 5),
    Case("mlp, tf_keras model.fit on 2 workers", "legacy", "mlp", 2, 1, 128, 3),
    Case("cnn, 1 worker of 1 thread, batch 512", "ours", "cnn", 1, 1, 512, 4),
    Case("cnn, 2 workers of 1 thread, batch 512", "ours", "cnn", 2, 1, 512, 4),
)
# Slower case, faster case, and how many times as fast it must be at least.
TARGETS = ((0, 1, 2.0), (3, 2, 6.0), (4, 5, 1.75))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--worker", nargs=2, metavar=("CASE", "RANK"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        number, rank = (int(word) for word in arguments.worker)
        print(json.dumps(ENGINES[CASES[number].engine](CASES[number], rank)))
        return 0
    rounds: list[list[list[float]]] = [[] for _ in CASES]  # by case and round: the epochs after the first
    for turn in range(1, ROUNDS + 1):
        for number, case in enumerate(CASES):
            rounds[number].append(measure(number, case))
            value = statistics.median(rounds[number][-1])
            print(f"round {turn} of {ROUNDS}  {case.name:40} {value:8.2f} s", flush=True)
    seconds = [statistics.median(epoch for one in measured for epoch in one) for measured in rounds]
    print()
    for case, value in zip(CASES, seconds, strict=True):
        print(f"{case.name:40} {value:8.2f} s an epoch")
    rows: list[dict[str, Any]] = [
        {"slower": CASES[slow].name, "faster": CASES[fast].name, "times": seconds[slow] / seconds[fast], "target": goal}
        for slow, fast, goal in TARGETS
    ]
    print()
    for row in rows:
        verdict = "reached" if row["times"] >= row["target"] else "MISSED"
        ratio = f"{row['times']:.2f} times as fast as {row['slower']}"
        print(f"{row['faster']}: {ratio}; at least {row['target']}: {verdict}")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        cases = [
            {"case": case.name, "seconds": value, "rounds": measured}
            for case, value, measured in zip(CASES, seconds, rounds, strict=True)
        ]
        arguments.json.write_text(json.dumps({"machine": machine, "cases": cases, "targets": rows}, indent=2) + "\n")
    return 0 if all(row["times"] >= row["target"] for row in rows) else 1


def measure(number: int, case: Case) -> list[float]:
    """Run the case's processes once; the seconds of the epochs after the first."""
    addresses = free_addresses("127.0.0.1", case.workers)
    processes = []
    for rank in range(case.workers):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if case.engine != "fit":
            environment["TF_CONFIG"] = tf_config(addresses, rank)
        if case.engine == "legacy":
            environment["TF_USE_LEGACY_KERAS"] = "1"
        if case.engine == "ours":
            environment["TF_ENABLE_ONEDNN_OPTS"] = "1"  # as the workers of jobs.train set it
        command = [sys.executable, "-m", "benchmarks.train_speed", "--worker", str(number), str(rank)]
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    outputs = [process.communicate(timeout=900) for process in processes]
    for process, (_, errors) in zip(processes, outputs, strict=True):
        if process.returncode:
            raise SystemExit(f"{case.name} failed:\n{errors[-2000:]}")
    epochs: list[float] = json.loads(outputs[0][0].strip().splitlines()[-1])
    return epochs[1:]


def ours(case: Case, rank: int) -> list[float]:
    """This package's engine."""
    from nn_train.config import config_from_dict
    from nn_train.datasets import load_data
    from nn_train.engine.loops import loop_of
    from nn_train.engine.preparation import prepare_model
    from nn_train.engine.strategy import configure_tensorflow, join_strategy

    configure_tensorflow(case.threads, use_gpu=False)
    replicas = join_strategy(rank, case.workers, whole_gpu=False)
    train = {"batch_size": case.batch_size}
    config = config_from_dict({"model": {"name": case.model}, "data": {"validation_fraction": 0}, "train": train})
    data = load_data(config.data)
    loop = loop_of(prepare_model(config, data, replicas), config, data, replicas)
    return [timed(lambda epoch=epoch: loop.train_epoch(epoch)) for epoch in range(case.epochs)]


def fit(case: Case, rank: int) -> list[float]:
    """The tutorial's script: ``model.fit`` of Keras 3 on floats, TensorFlow's own threads."""
    import keras

    x, y = mnist()
    model = tutorial_mlp(keras)
    return [timed(lambda: model.fit(x, y, batch_size=case.batch_size, verbose=0)) for _ in range(case.epochs)]


def legacy(case: Case, rank: int) -> list[float]:
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
    epochs: list[float] = []

    class Clock(tf.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            epochs.append(time.perf_counter() - self.began)

    model.fit(dataset, epochs=case.epochs, steps_per_epoch=steps, verbose=0, callbacks=[Clock()])
    return epochs


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


def timed(action: Any) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


ENGINES = {"ours": ours, "fit": fit, "legacy": legacy}

if __name__ == "__main__":
    sys.exit(main())
