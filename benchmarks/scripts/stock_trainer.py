"""The MLP for one epoch on two workers, as Ray's guide to TensorFlow writes it: ``stock_trainer.py MNIST.NPZ``.

What ``benchmarks.start_stop`` compares with. Nothing of this project is used.
"""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # model.fit of Keras 3 fails under the strategy; Ray sets this too late

import numpy as np
import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.tensorflow import TensorflowTrainer
from ray.train.tensorflow.keras import ReportCheckpointCallback


def train_function(config: dict) -> None:
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with np.load(config["data"]) as arrays:
        x, y = arrays["x_train"] / np.float32(255), arrays["y_train"].astype("int64")
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(60_000).repeat().batch(64).with_options(options)
    with strategy.scope():
        layers = tf.keras.layers
        model = tf.keras.Sequential(
            [
                layers.Flatten(input_shape=(28, 28)),
                layers.Dense(128, activation="relu"),
                layers.Dropout(0.2),
                layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(dataset, epochs=1, steps_per_epoch=54_000 // 64, verbose=0, callbacks=[ReportCheckpointCallback()])


if __name__ == "__main__":
    ray.init(address="local")
    trainer = TensorflowTrainer(
        train_function,
        train_loop_config={"data": os.path.abspath(sys.argv[1])},
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(storage_path=os.path.abspath(sys.argv[2])),
    )
    print(trainer.fit().metrics)
