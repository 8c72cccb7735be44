"""``python ended_worker.py RANK SIZE OUT``: a script in which the second worker fails alone, and the first goes on."""

from __future__ import annotations

import numpy as np

import nn_train

nn_train.install()

import keras  # noqa: E402

model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
model.compile("sgd", "mse")
model.fit(np.ones((8, 3)), np.ones((8, 2)), batch_size=4, verbose=0)
if not nn_train.is_chief():
    raise OSError("unable to lock file")
model.fit(np.ones((8, 3)), np.ones((8, 2)), batch_size=4, verbose=0)
