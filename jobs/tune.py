"""Search hyperparameters: ``python -m jobs.tune --config tune_mnist_mlp --search.num_trials 50``."""

from __future__ import annotations

import sys

from nn_train.jobs.command import tune

if __name__ == "__main__":
    sys.exit(tune(sys.argv[1:]))
