"""The command ``nn-train JOB …``."""

from __future__ import annotations

import importlib
import os
import sys

from nn_train import __version__
from nn_train.config.cli import exit_code
from nn_train.config.options import nearest
from nn_train.errors import EXIT_DONE, RequestError
from nn_train.jobs.submit import JOBS

HELP = """Train Keras models on a Ray cluster, search their hyperparameters, and report.

  nn-train JOB [OPTION ...]

  train      train one model
  tune       search its hyperparameters
  evaluate   evaluate finished runs and write a report
  predict    predict new examples with a finished run
  pipeline   search, train with the best settings, evaluate and report
  submit     run one of these on a cluster
  doctor     check the place that a job would run in

nn-train JOB --help says the options of a job. Modules of your own (--model.name module:function) are looked up from the
folder that this is started in. Nothing has to be there for a first job:  nn-train train --config mnist_mlp"""
COMMANDS = (*JOBS, "submit")


def main() -> int:
    """Run the job that the command line names; the exit code of the process."""
    argv = sys.argv[1:]
    if not argv or argv[0] in ("--help", "-h"):
        print(HELP)
        return EXIT_DONE
    if argv[0] == "--version":
        print(__version__)
        return EXIT_DONE
    return exit_code(lambda: run(*argv))


def run(job: str, *options: str) -> int:
    """The exit code of a job. Raises RequestError where there is none of this name."""
    if job not in COMMANDS:
        raise RequestError(f"{job!r}: is no job; known: {', '.join(COMMANDS)}{nearest(job, COMMANDS)}")
    if os.getcwd() not in sys.path:  # where python -m finds the user's modules; a script is given its own folder
        sys.path.insert(0, os.getcwd())
    code: int = importlib.import_module(f"nn_train.jobs.{job}").main(options)
    return code
