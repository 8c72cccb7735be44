"""The command line of ``python -m jobs.evaluate``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nn_train.config.parse import coerce, read_section
from nn_train.config.schema import ScalingConfig
from nn_train.config.uris import refuse_credentials, refuse_no_path
from nn_train.errors import RequestError

SCALING = ("num_workers", "use_gpu", "cpus_per_worker", "gpus_per_worker")


@dataclass(frozen=True)
class Arguments:
    """What is asked for.

    Attributes:
        runs: folders or URIs; none: the report in ``output`` is written again.
        output: the local folder of the report.
        scaling: of the workers that predict.
        verbose: whether to show the logs of Ray and TensorFlow.
    """

    runs: list[str]
    output: Path
    scaling: ScalingConfig
    verbose: bool


class Parser(argparse.ArgumentParser):
    """argparse, with messages in the form of the other jobs."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise RequestError(f"{message}; see --help")


def make_parser(description: str) -> Parser:
    parser = Parser(description=description, allow_abbrev=False)
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


def read_arguments(argv: Sequence[str], description: str) -> Arguments:
    """Raises RequestError for what is not known or cannot be a path or URI."""
    given = vars(make_parser(description).parse_args(argv))
    values = {name: given[f"scaling.{name}"] for name in SCALING if given[f"scaling.{name}"]}
    return Arguments(
        runs=[place("--runs", run) for run in given["runs"]],
        output=local_path(given["output"]),
        scaling=read_section("scaling", {"num_workers": "1", **values}),
        verbose=given["verbose"],
    )


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
