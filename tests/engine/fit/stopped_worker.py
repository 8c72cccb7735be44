"""``python stopped_worker.py RANK SIZE OUT``: the last worker stands still after an epoch of ``nn_train.fit``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np

import nn_train

nn_train.install()

import keras  # noqa: E402

from nn_train.engine import local_peers  # noqa: E402
from nn_train.engine.lost_peers import is_lost_peer, lost_peers  # noqa: E402


def main() -> None:
    local_peers.SILENCE, local_peers.ANSWER = 1.0, 2.0
    rank, size = int(sys.argv[1]), int(sys.argv[2])
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((8, 3)), np.ones((8, 1))
    model.fit(x, y, batch_size=4, verbose=0)
    if rank == size - 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    try:
        model.fit(x, y, batch_size=4, verbose=0)
    except Exception as error:
        said = f"{is_lost_peer(error)} {lost_peers(error, rank)} {error}"
        Path(sys.argv[3], f"said-{rank}").write_text(said)
    os._exit(0)  # TensorFlow would wait for the other at its end


if __name__ == "__main__":
    main()
