"""From nothing to a report: ``python -m jobs.pipeline --config mnist``."""

from __future__ import annotations

import sys

from nn_train.jobs.pipeline import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
