"""The tutorial's CNN on MNIST with Keras alone, five epochs on the whole machine: ``tutorial_cnn.py MNIST.NPZ``.

What ``benchmarks.time_to_accuracy`` compares with. Nothing of this project is used.
"""

import sys

import keras
import numpy as np
from keras import layers

with np.load(sys.argv[1]) as arrays:
    x_train, y_train = arrays["x_train"][..., None] / np.float32(255), arrays["y_train"]
    x_test, y_test = arrays["x_test"][..., None] / np.float32(255), arrays["y_test"]

keras.utils.set_random_seed(int(sys.argv[2]))
model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=5, batch_size=32, verbose=0)
print(model.evaluate(x_test, y_test, verbose=0)[1])
