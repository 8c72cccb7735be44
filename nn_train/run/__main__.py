"""``python -m nn_train.run …``: the same as ``nn-train run …``."""

from __future__ import annotations

import sys

from nn_train.run.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
