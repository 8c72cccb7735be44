"""Train one model: ``python -m jobs.train --config mnist_cnn --train.epochs 3``."""

from __future__ import annotations

import sys

from nn_train.jobs.command import train

if __name__ == "__main__":
    sys.exit(train(sys.argv[1:]))
