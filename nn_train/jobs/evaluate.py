"""Evaluate finished runs and report."""

from __future__ import annotations

from collections.abc import Sequence

from nn_train.config.cli import exit_code
from nn_train.prediction.arguments import read_arguments


def main(argv: Sequence[str]) -> int:
    return exit_code(lambda: run(argv))


def run(argv: Sequence[str]) -> int:
    asked = read_arguments(argv)
    from nn_train.prediction.driver import evaluate_runs

    say = lambda line: print(line, flush=True)  # noqa: E731
    page = evaluate_runs(asked.runs, asked.output, asked.scaling, say, asked.verbose, source=asked.source)
    print(page)
    return 0
