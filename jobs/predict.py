"""Predict new examples: ``python -m jobs.predict --run results/mnist_cnn --data new.npz --output predicted.csv``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from nn_train.config.cli import exit_code
from nn_train.prediction.arguments import read_predict_arguments


def main(argv: Sequence[str]) -> int:
    asked = read_predict_arguments(argv, description=__doc__)
    from nn_train.prediction.predict_run import predict_run

    say = lambda line: print(line, flush=True)  # noqa: E731
    print(predict_run(asked.run, asked.data, asked.output, asked.scaling, say, asked.verbose))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
