"""From nothing to a report: ``python -m jobs.pipeline --config mnist``."""

from __future__ import annotations

import sys

from nn_train.jobs.command import pipeline

if __name__ == "__main__":
    sys.exit(pipeline(sys.argv[1:]))
