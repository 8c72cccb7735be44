"""Run a job on a cluster: ``python -m jobs.submit train --config mnist_cnn``."""

from __future__ import annotations

import sys

from nn_train.jobs.command import submit

if __name__ == "__main__":
    sys.exit(submit(sys.argv[1:]))
