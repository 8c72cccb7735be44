"""Run a job on a cluster: ``python -m jobs.submit train --config mnist_cnn``."""

from __future__ import annotations

import sys

from nn_train.jobs.submit import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
