"""Search hyperparameters: ``python -m jobs.tune --config tune_mnist_mlp --search.num_trials 50``."""

from __future__ import annotations

import sys

from nn_train.jobs.tune import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
