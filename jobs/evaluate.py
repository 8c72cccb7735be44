"""Evaluate finished runs and report: ``python -m jobs.evaluate --runs results/mnist_* --output results/report``."""

from __future__ import annotations

import sys

from nn_train.jobs.evaluate import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
