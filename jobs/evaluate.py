"""Evaluate finished runs and report: ``python -m jobs.evaluate --runs results/mnist_* --output results/report``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from nn_train.config.cli import exit_code
from nn_train.prediction.arguments import read_arguments


def main(argv: Sequence[str]) -> int:
    asked = read_arguments(argv, description=__doc__)
    from nn_train.prediction.driver import evaluate_runs

    page = evaluate_runs(asked.runs, asked.output, asked.scaling, lambda line: print(line, flush=True), asked.verbose)
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
