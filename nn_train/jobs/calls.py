"""The jobs as functions of Python, for a script or a notebook: ``nn_train.train(model=build, data=load)``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

if TYPE_CHECKING:
    import keras

    from nn_train.config import Config, ScalingConfig
    from nn_train.events import Handler
    from nn_train.prediction.new_examples import Predicted
    from nn_train.search import SearchOutcome
    from nn_train.training import TrainResult

    Output = str | os.PathLike[str]
    Scaling = ScalingConfig | Mapping[str, Any] | None
    Run = str | os.PathLike[str] | TrainResult | SearchOutcome
    JobSettings = Config | str | os.PathLike[str] | Mapping[str, Any] | None

Result = TypeVar("Result")
REPORT = "results/report"


def train(
    config: JobSettings = None, on_event: Handler | None = None, verbose: bool = False, **sections: Any
) -> TrainResult:
    """Train a model on Ray, or continue the unfinished run of the same name.

    ``nn_train.train(model=build, data=load, train={"epochs": 3}, scaling={"num_workers": 4}, name="mine")``

    Args:
        config: a ``Config``, the path of a job file, the name of a preset, a mapping as a job file has it; None: the
            defaults, which train an MLP on MNIST with two workers.
        on_event: called with every event (``nn_train.events``); None: what happens is printed, a line an epoch.
        verbose: let the logs of Ray and TensorFlow through.
        sections: what differs from ``config``: ``name``, ``seed``, or a section of a job file as a mapping of its
            fields. ``model`` can also be a function that builds a model or a ``keras.Model``, compiled or not, which
            is trained from its weights; ``data`` a path, a function or ``((x_train, y_train), (x_test, y_test))``;
            ``train={"callbacks": …}`` a function or a list of callbacks, ``data={"source": …, "augment": …}`` a
            function. Functions may be those of a notebook. Arrays with whole numbers as labels are written to
            ``given/`` beside the runs.

    Returns:
        The finished run; also when it was already finished, which then costs nothing.

    Raises:
        RequestError: the request is wrong, does not fit the cluster, or would mix two runs.
        TrainingError: training failed, also after ``run.max_failures`` restarts.
        KeyboardInterrupt: Ctrl-C; the same call goes on with the run.
    """
    from nn_train.jobs.given_values import config_of
    from nn_train.training import train as train_run
    from nn_train.training.progress import Progress

    return followed(train_run, Progress, config_of(config, sections), on_event, verbose)


def tune(
    config: JobSettings = None, on_event: Handler | None = None, verbose: bool = False, **sections: Any
) -> SearchOutcome:
    """Search hyperparameters, or go on with the search of the same name.

    ``nn_train.tune(model=build, data=load, search={"space": {"model.args.units": {"choice": [32, 64]}}})``

    Args:
        config, on_event, verbose, sections: as for ``train``; ``search`` says what is varied, see docs/tune.md.

    Returns:
        The finished search: its ``folder``, ``records`` of all trials, the ``best``.

    Raises:
        As ``train``; TrainingError also where no trial has the metric.
    """
    from nn_train.jobs.given_values import config_of
    from nn_train.search import search
    from nn_train.search.progress import Progress

    return followed(search, Progress, config_of(config, sections), on_event, verbose)


def followed(
    run: Callable[[Config, Handler, bool], Result],
    progress_of: Callable[[Config], Any],
    config: Config,
    on_event: Handler | None,
    verbose: bool,
) -> Result:
    """Run a job; where nobody hears of its events, what happens is printed."""
    if on_event is not None:
        return run(config, on_event, verbose)
    progress = progress_of(config)
    progress.announce()
    result = run(config, progress, verbose)
    progress.finish(result)
    return result


@overload
def evaluate(
    runs: Run | Sequence[Run],
    /,
    output: Output = REPORT,
    *,
    data: object = None,
    task: str | None = None,
    scaling: Scaling = None,
    verbose: bool = False,
) -> Path: ...


@overload
def evaluate(model: keras.Model, /, *args: Any, **named: Any) -> Any: ...


def evaluate(model: Any, *args: Any, **named: Any) -> Any:
    """Evaluate finished runs on their test set and write a report; or, given a model, what ``model.evaluate`` does.

    Args:
        model: a run or several: what ``train`` and ``tune`` gave, paths or URIs. Or a ``keras.Model``; all other
            arguments are then those of its ``evaluate``, and the numbers those of one worker (docs/parity.md).
        output: the local folder of the report (``results/report``).
        task: ``binary``, ``multiclass`` or ``regression``, where ``evaluation.task`` of the runs is not to hold.
        data: other test examples than the runs' own: whatever ``train`` takes, of which the test part is used.
        scaling: fields of the section, such as ``{"num_workers": 2}``; None: one worker.
        verbose: let the logs of Ray and TensorFlow through.

    Returns:
        The path of ``report.html``.

    Raises:
        RequestError: a folder is no finished run, or the workers do not fit the cluster.
        TrainingError: workers died too often.
    """
    if not is_run(model):
        from nn_train.engine.fit.calls import evaluate as evaluate_model

        return evaluate_model(model, *args, **named)
    return evaluate_finished(model, *args, **named)


@overload
def predict(
    run: Run, /, data: object, output: None = None, *, scaling: Scaling = None, verbose: bool = False
) -> Predicted: ...


@overload
def predict(run: Run, /, data: object, output: Output, *, scaling: Scaling = None, verbose: bool = False) -> Path: ...


@overload
def predict(model: keras.Model, /, *args: Any, **named: Any) -> Any: ...


def predict(model: Any, *args: Any, **named: Any) -> Any:
    """Predict new examples with a finished run; or, given a model, what ``model.predict`` does.

    Args:
        model: what ``train`` or ``tune`` gave, a path or URI. Or a ``keras.Model``; all other arguments are then those
            of its ``predict``.
        data: an array ``[N, …]``, several in a tuple or dict, a path or URI, or a function that gives ``x`` or
            ``(x, ids)``; of the kind that the run was trained on.
        output: a file to write: ``.csv``, ``.parquet`` or ``.npz``.
        scaling, verbose: as for ``evaluate``.

    Returns:
        ``Predicted``: ``ids``, ``values`` (probabilities, float32 ``[N, C]``), ``class_names``; with ``output`` the
        path of that.

    Raises:
        RequestError: the run is not finished, or the examples cannot be read or do not fit its model.
        TrainingError: workers died too often.
    """
    if not is_run(model):
        from nn_train.engine.fit.calls import predict as predict_with_model

        return predict_with_model(model, *args, **named)
    return predict_with_run(model, *args, **named)


def evaluate_finished(
    runs: Run | Sequence[Run],
    output: Output = REPORT,
    *,
    data: object = None,
    task: str | None = None,
    scaling: Scaling = None,
    verbose: bool = False,
) -> Path:
    from nn_train.jobs.given_values import source_of
    from nn_train.prediction.arguments import local_path, other_source, other_task, scaling_of
    from nn_train.prediction.driver import evaluate_runs

    named = list(runs) if isinstance(runs, list | tuple) else [cast("Run", runs)]
    folders = [folder_of(run) for run in named]
    source = None if data is None else other_source(source_of(data), folders)
    place = local_path(os.fspath(output))
    return evaluate_runs(
        folders, place, scaling_of(scaling), say, verbose, source=source, task=other_task(task, folders)
    )


def predict_with_run(
    run: Run, data: object, output: Output | None = None, *, scaling: Scaling = None, verbose: bool = False
) -> Path | Predicted:
    from nn_train.jobs.given_values import source_of
    from nn_train.prediction.arguments import local_path, scaling_of
    from nn_train.prediction.predict_run import predict_examples, predict_run

    given = folder_of(run), source_of(data)
    if output is None:
        return predict_examples(*given, scaling_of(scaling), say, verbose)
    return predict_run(*given, str(local_path(os.fspath(output))), scaling_of(scaling), say, verbose)


def is_run(one: object) -> bool:
    """Whether it stands for runs: a path, or what a job gave; or several of these."""
    if isinstance(one, list | tuple):
        return all(map(is_run, one))
    return isinstance(one, str | os.PathLike) or isinstance(getattr(one, "folder", None), str)


def folder_of(run: Run) -> str:
    from nn_train.prediction.arguments import place

    return place("run", os.fspath(run) if isinstance(run, str | os.PathLike) else run.folder)


def say(line: str) -> None:
    print(line, flush=True)
