"""Predict new examples."""

from __future__ import annotations

from collections.abc import Sequence

from nn_train.config.cli import exit_code
from nn_train.prediction.arguments import read_predict_arguments


def main(argv: Sequence[str]) -> int:
    return exit_code(lambda: run(argv))


def run(argv: Sequence[str]) -> int:
    asked = read_predict_arguments(argv)
    from nn_train.prediction.predict_run import predict_run

    say = lambda line: print(line, flush=True)  # noqa: E731
    print(predict_run(asked.run, asked.data, asked.output, asked.scaling, say, asked.verbose))
    return 0
