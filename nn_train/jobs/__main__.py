"""``python -m nn_train.jobs train …``: what ``nn-train train …`` does, also where that script is not installed."""

from __future__ import annotations

import sys

from nn_train.jobs.command import main

if __name__ == "__main__":
    sys.exit(main())
