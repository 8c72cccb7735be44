"""Predict new examples: ``python -m jobs.predict --run results/mnist_cnn --data new.npz --output predicted.csv``."""

from __future__ import annotations

import sys

from nn_train.jobs.command import predict

if __name__ == "__main__":
    sys.exit(predict(sys.argv[1:]))
