"""MNIST with Ray's TensorflowTrainer on two workers, as its users write it.

``benchmarks/keras_script.py`` calls it with a folder that has ``mnist.npz``.
"""
# mypy: disable-error-code="no-untyped-def"

import json
import sys
import time
from pathlib import Path

import ray
from ray.train import ScalingConfig
from ray.train.tensorflow import TensorflowTrainer


def train_func(config):
    import keras
    import numpy as np
    import tensorflow as tf

    seconds = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append([time.perf_counter() - self.began, float(logs["accuracy"])])

    arrays = np.load(config["folder"] + "/mnist.npz")
    x, y = arrays["x_train"].astype("float32") / 255.0, arrays["y_train"].astype("int64")
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        layers = [keras.layers.Flatten(), keras.layers.Dense(128, activation="relu"), keras.layers.Dropout(0.2)]
        model = keras.Sequential([keras.Input((28, 28)), *layers, keras.layers.Dense(10, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=128, epochs=config["epochs"], verbose=0, callbacks=[Clock()])
    if ray.train.get_context().get_world_rank() == 0:
        Path(config["folder"], "epochs.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    ray.init(address="local", num_cpus=2, include_dashboard=False)
    given = {"folder": sys.argv[1], "epochs": 4}
    TensorflowTrainer(train_func, train_loop_config=given, scaling_config=ScalingConfig(num_workers=2)).fit()
