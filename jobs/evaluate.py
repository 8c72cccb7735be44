"""Evaluate finished runs and report: ``python -m jobs.evaluate --runs results/mnist_* --output results/report``."""

from __future__ import annotations

import sys

from nn_train.jobs.command import evaluate

if __name__ == "__main__":
    sys.exit(evaluate(sys.argv[1:]))
