"""``python refused_worker.py RANK SIZE OUT``: a script whose model several workers cannot train."""

from __future__ import annotations

import numpy as np

import nn_train

nn_train.install()

import keras  # noqa: E402

model = keras.Sequential([keras.Input((3, 2), batch_size=4), keras.layers.LSTM(2, stateful=True)])
model.compile("sgd", "mse")
model.fit(np.ones((8, 3, 2)), np.ones((8, 2)), batch_size=4, verbose=0)
