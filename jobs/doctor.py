"""Check the place that jobs run in: ``python -m jobs.doctor --run.storage_path s3://bucket/results``."""

from __future__ import annotations

import sys

from nn_train.jobs.command import doctor

if __name__ == "__main__":
    sys.exit(doctor(sys.argv[1:]))
