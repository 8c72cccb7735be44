"""The command ``nn-train JOB …``; each job is a function of its words that gives the exit code of the process.

What its docstring says is shown by ``nn-train --help``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

from nn_train import __version__
from nn_train.config.cli import QUIET, Arguments, command_of, exit_code, run_job
from nn_train.config.options import nearest
from nn_train.errors import EXIT_DONE, EXIT_FAILED, RequestError
from nn_train.events import About, Event, Warned
from nn_train.jobs import calls
from nn_train.jobs.calls import say
from nn_train.run.command import main as run_script

HELP = """Train Keras models on a Ray cluster, search their hyperparameters, and report.

  nn-train JOB [OPTION ...]

{jobs}

nn-train JOB --help says the options of a job. Modules of your own (--model.name module:function) are looked up from the
folder that this is started in. Nothing has to be there for a first job:  nn-train train --config mnist_mlp"""
SUBMIT_HELP = """Run a job on the Ray cluster whose job server RAY_API_SERVER_ADDRESS names (http://HEAD:8265).

  {command} JOB [OPTION ...]

JOB is one of {jobs}; its options are those it has here. This folder is copied to the cluster without what .gitignore
names, .venv and results, and with it this version of nn_train; TensorFlow, Ray and the other packages must be there.
The job's lines are shown here, its exit code is that of this command. Ctrl-C stops the job; the same command goes on
with an unfinished run. Where the cluster wants a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH or
RAY_AUTH_TOKEN."""


def train(argv: Sequence[str]) -> int:
    """train one model"""

    def run(given: Arguments) -> int:
        result = calls.train(given.config, warnings_only if given.quiet else None, given.verbose)
        if given.quiet:
            print(result.folder)
        return EXIT_DONE

    return run_job("Train a Keras model with MultiWorkerMirroredStrategy on Ray.", argv, run, flags=QUIET)


def tune(argv: Sequence[str]) -> int:
    """search its hyperparameters"""

    def run(given: Arguments) -> int:
        if "dry_run" not in given.flags:
            outcome = calls.tune(given.config, warnings_only if given.quiet else None, given.verbose)
            if given.quiet:
                print(outcome.folder)
            return EXIT_DONE
        from nn_train.search import plan
        from nn_train.search.progress import Progress

        Progress(given.config).announce()
        print("\n".join(plan(given.config, verbose=given.verbose)))
        return EXIT_DONE

    flags = {"dry_run": "only say what would be run, and what it would cost", **QUIET}
    return run_job("Search the hyperparameters of a Keras model with Ray Tune.", argv, run, ("search",), flags)


def pipeline(argv: Sequence[str]) -> int:
    """search, train with the best settings, evaluate and report"""

    def run(given: Arguments) -> int:
        from nn_train.pipeline import run_pipeline
        from nn_train.pipeline.progress import Progress

        progress, quick = Progress(), "quick" in given.flags
        hears = warnings_only if given.quiet else progress
        result = run_pipeline(given.config, given.overrides, quick, hears, given.verbose)
        if given.quiet:
            print(result.report)
        else:
            progress.finish(result)
        return EXIT_DONE

    flags = {"quick": "smaller budgets: what pipeline.quick of the job file says", **QUIET}
    about = "Search, train with the best settings, evaluate and report, all in one job."
    return run_job(about, argv, run, ("search", "pipeline"), flags)


def doctor(argv: Sequence[str]) -> int:
    """check the place that a job would run in"""

    def run(given: Arguments) -> int:
        from nn_train.doctor import examine
        from nn_train.doctor.findings import FAILED, table

        findings = examine(given.config, verbose=given.verbose)
        print(table(findings))
        return EXIT_FAILED if any(one.result == FAILED for one in findings) else EXIT_DONE

    about = "Check the place that a job with these settings would run in, and say what to do about what is wrong."
    return run_job(about, argv, run, ("search", "pipeline"))


def evaluate(argv: Sequence[str]) -> int:
    """evaluate finished runs and write a report"""

    def run() -> int:
        from nn_train.prediction.arguments import read_arguments

        asked = read_arguments(argv)
        from nn_train.prediction.driver import evaluate_runs

        how = (asked.scaling, say_warning if asked.quiet else say, asked.verbose)
        print(evaluate_runs(asked.runs, asked.output, *how, source=asked.source, task=asked.task))
        return EXIT_DONE

    return exit_code(run)


def predict(argv: Sequence[str]) -> int:
    """predict new examples with a finished run"""

    def run() -> int:
        from nn_train.prediction.arguments import read_predict_arguments

        asked = read_predict_arguments(argv)
        from nn_train.prediction.predict_run import predict_run

        tell = say_warning if asked.quiet else say
        print(predict_run(asked.run, asked.data, asked.output, asked.scaling, tell, asked.verbose))
        return EXIT_DONE

    return exit_code(run)


def run(argv: Sequence[str]) -> int:
    """run a Keras script as it is on several workers"""
    return run_script(argv)


def submit(argv: Sequence[str]) -> int:
    """run one of these on a cluster"""

    def run() -> int:
        jobs = [name for name in JOBS if name != "submit"]
        if not argv or argv[0] in ("--help", "-h"):
            print(SUBMIT_HELP.format(command=command_of("submit"), jobs=", ".join(jobs)))
            return EXIT_DONE
        refuse_other(argv[0], jobs)
        from nn_train.ray_cluster.submission import submit

        return submit(argv[0], argv[1:])

    return exit_code(run)


JOBS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "train": train,
    "tune": tune,
    "evaluate": evaluate,
    "predict": predict,
    "pipeline": pipeline,
    "doctor": doctor,
    "run": run,
    "submit": submit,
}


def main() -> int:
    """Run the job that the command line names; the exit code of the process."""
    argv = sys.argv[1:]
    if not argv or argv[0] in ("--help", "-h"):
        print(HELP.format(jobs="\n".join(f"  {name:10} {job.__doc__}" for name, job in JOBS.items())))
        return EXIT_DONE
    if argv[0] == "--version":
        print(__version__)
        return EXIT_DONE

    def run() -> int:
        refuse_other(argv[0], list(JOBS))
        if os.getcwd() not in sys.path:  # where python -m finds the user's modules; a script is given its own folder
            sys.path.insert(0, os.getcwd())
        return JOBS[argv[0]](argv[1:])

    return exit_code(run)


def warnings_only(event: Event) -> None:
    """Print the warnings of an event to stderr, and nothing else: ``--quiet``."""
    if isinstance(event, About):
        warnings_only(event.event)
    texts = [event.text] if isinstance(event, Warned) else getattr(event, "warnings", ())
    for text in texts:
        print(f"warning: {text}", file=sys.stderr, flush=True)


def say_warning(line: str) -> None:
    """Print a line to stderr where it is a warning, and no other: ``--quiet``."""
    if line.startswith("warning:"):
        print(line, file=sys.stderr, flush=True)


def refuse_other(job: str, known: Sequence[str]) -> None:
    """Raise RequestError for a job that is none of these."""
    if job not in known:
        raise RequestError(f"{job!r}: is no job; known: {', '.join(known)}{nearest(job, known)}")
