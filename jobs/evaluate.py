"""Evaluate finished runs and report: ``python -m jobs.evaluate --runs results/mnist_* --output results/report``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nn_train.config import read_config
from nn_train.config.cli import exit_code
from nn_train.config.parse import coerce
from nn_train.config.uris import refuse_credentials, refuse_no_path
from nn_train.errors import RequestError

SCALING = ("num_workers", "use_gpu", "cpus_per_worker", "gpus_per_worker")


class Parser(argparse.ArgumentParser):
    """argparse, with messages in the form of the other jobs."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise RequestError(f"{message}; see --help")


def make_parser() -> Parser:
    parser = Parser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--runs",
        nargs="+",
        default=[],
        metavar="RUN_DIR",
        help="folders or URIs of finished runs; that of a finished search stands for its best models",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="local folder of the report")
    parser.add_argument("--verbose", action="store_true", help="show the logs of Ray and TensorFlow")
    for name in SCALING:
        parser.add_argument(f"--scaling.{name}", metavar="VALUE", help="as for jobs.train (num_workers: 1)")
    parser.epilog = "Without --runs the report in --output is written again; nothing is predicted."
    return parser


def place(option: str, text: str) -> str:
    """A path or URI; RequestError for what can be none."""
    refuse_credentials(option, text)
    refuse_no_path(option, coerce(option, text, str))
    return text


def local_path(output: str) -> Path:
    """The folder of the report; RequestError for a URI."""
    if "://" in place("--output", output):
        raise RequestError(f"--output: {output} is a URI; write the report to a local folder and copy it from there")
    return Path(output)


def main(argv: Sequence[str]) -> int:
    given = vars(make_parser().parse_args(argv))
    output, runs = local_path(given["output"]), [place("--runs", run) for run in given["runs"]]
    overrides = {f"scaling.{name}": given[f"scaling.{name}"] for name in SCALING if given[f"scaling.{name}"]}
    scaling = read_config(None, {"scaling.num_workers": "1", "train.batch_size": "1000000", **overrides}).scaling
    from nn_train.prediction.driver import evaluate_runs

    page = evaluate_runs(runs, output, scaling, lambda line: print(line, flush=True), given["verbose"])
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
