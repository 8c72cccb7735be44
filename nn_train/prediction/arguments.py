"""The command lines of the jobs that evaluate finished runs and that predict with one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn_train.config.cli import QUIET, VERBOSE, command_of
from nn_train.config.entry_points import check_function
from nn_train.config.options import is_entry_point
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
        source: of other test examples than those of the runs; None: theirs.
        task: ``evaluation.task`` instead of that of the runs; None: theirs.
        scaling: of the workers that predict.
        verbose: whether to show the logs of Ray and TensorFlow.
        quiet: whether to print only where the results are.
    """

    runs: list[str]
    output: Path
    source: str | None
    task: str | None
    scaling: ScalingConfig
    verbose: bool
    quiet: bool = False


class Parser(argparse.ArgumentParser):
    """argparse, with messages in the form of the other jobs."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise RequestError(f"{message}; see --help")


def parsed(job: str, about: str, options: Mapping[str, Mapping[str, Any]], argv: Sequence[str], more: str = "") -> Any:
    """Return what a command line gives for each option, and as ``scaling`` the section that says of the workers."""
    parser = Parser(prog=command_of(job), description=about, allow_abbrev=False, epilog=more)
    for name, settings in options.items():
        parser.add_argument(name, **settings)
    for name, meaning in {**VERBOSE, **QUIET}.items():
        parser.add_argument(f"--{name}", action="store_true", help=meaning)
    for name in SCALING:
        option = f"--scaling.{name}"
        parser.add_argument(option, metavar="VALUE", help="as for train (num_workers: 1)")
        parser.add_argument(option.replace("_", "-"), dest=option[2:], help=argparse.SUPPRESS)
    given = vars(parser.parse_args(argv))
    given["scaling"] = scaling_of({name: given[f"scaling.{name}"] for name in SCALING if given[f"scaling.{name}"]})
    return given


@dataclass(frozen=True)
class PredictArguments:
    """What is asked for of ``predict``; see ``predict_run``."""

    run: str
    data: str
    output: str
    scaling: ScalingConfig
    verbose: bool
    quiet: bool = False


def read_predict_arguments(argv: Sequence[str]) -> PredictArguments:
    """Raises RequestError for what is not known or cannot be a path or URI."""
    run = "folder or URI of a finished run, or of a search: its best"
    data = "path or URI of an .npz (x, perhaps id) or .npy, or module:function"
    output = "local file: .csv or .parquet (id, label, p_<class>), or .npz"
    options: dict[str, dict[str, Any]] = {
        "--run": {"required": True, "metavar": "RUN_DIR", "help": run},
        "--data": {"required": True, "metavar": "NEW", "help": data},
        "--output": {"required": True, "metavar": "FILE", "help": output},
    }
    given = parsed("predict", "Predict new, unlabelled examples with a finished run.", options, argv)
    places = {"run": place("--run", given["run"]), "data": place("--data", given["data"])}
    output = str(local_path(given["output"]))
    return PredictArguments(
        **places, output=output, scaling=given["scaling"], verbose=given["verbose"], quiet=given["quiet"]
    )


def read_arguments(argv: Sequence[str]) -> Arguments:
    """Raises RequestError for what is not known or cannot be a path or URI."""
    runs = "folders or URIs of finished runs; that of a finished search stands for its best models"
    source = (
        "evaluate on the test examples of this source, as train takes it (an .npz needs x_test, y_test), instead of "
    )
    options: dict[str, dict[str, Any]] = {
        "--runs": {"nargs": "+", "default": [], "metavar": "RUN_DIR", "help": runs},
        "--output": {"required": True, "metavar": "DIR", "help": "local folder of the report"},
        "--data.source": {"metavar": "SOURCE", "help": f"{source}of the runs' own"},
        "--evaluation.task": {"metavar": "TASK", "help": "binary, multiclass or regression, instead of the runs' own"},
    }
    more = "Without --runs the report in --output is written again; nothing is predicted."
    given = parsed("evaluate", "Evaluate finished runs on their test set, and report.", options, argv, more)
    return Arguments(
        runs=[place("--runs", run) for run in given["runs"]],
        output=local_path(given["output"]),
        source=other_source(given["data.source"], given["runs"]),
        task=other_task(given["evaluation.task"], given["runs"]),
        scaling=given["scaling"],
        verbose=given["verbose"],
        quiet=given["quiet"],
    )


def scaling_of(given: ScalingConfig | Mapping[str, Any] | None) -> ScalingConfig:
    """The section that says on how many workers; one, where it does not. Raises RequestError."""
    if isinstance(given, ScalingConfig):
        return given
    section: ScalingConfig = read_section("scaling", {"num_workers": 1, **(given or {})})
    return section


def other_source(source: str | None, runs: Sequence[str]) -> str | None:
    """The checked name of other test examples. RequestError for what can be none, or where nothing is predicted."""
    if source is None:
        return None
    if not runs:
        raise RequestError("--data.source: nothing is predicted without --runs")
    if is_entry_point(source):
        check_function("--data.source", source)
    named: str = read_section("data", {"source": source}).source
    return named


def other_task(task: str | None, runs: Sequence[str]) -> str | None:
    """The checked task. RequestError for what is none, or where nothing is predicted."""
    if task is not None and not runs:
        raise RequestError("--evaluation.task: nothing is predicted without --runs")
    found: str | None = read_section("evaluation", {"task": task}).task
    return found


def place(option: str, text: str) -> str:
    """A path or URI; RequestError for what can be none."""
    refuse_credentials(option, text)
    refuse_no_path(option, coerce(option, text, str))
    return text


def local_path(output: str) -> Path:
    """A place on this machine; RequestError for a URI."""
    if "://" in place("--output", output):
        raise RequestError(f"--output: {output} is a URI; write to this machine and copy it from there")
    return Path(output)
