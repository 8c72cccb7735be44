"""Train one model: ``python -m jobs.train --config mnist_cnn --train.epochs 3``."""

from __future__ import annotations

import sys

from nn_train.jobs.train import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
