"""A worker of a strategy that sums the ranks of all: ``sum_of_ranks.py RANK SIZE OUT`` writes ``OUT/RANK``."""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf

from nn_train.engine.joining import join_strategy
from nn_train.engine.strategy import configure_tensorflow


def main(rank: int, size: int, out: Path) -> None:
    configure_tensorflow(threads=1, use_gpu=False)
    strategy = join_strategy(rank, size, whole_gpu=False).strategy
    total = strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(lambda: tf.constant(float(rank))), axis=None)
    (out / str(rank)).write_text(str(float(total)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
