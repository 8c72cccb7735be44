"""What is refused before Ray starts: a folder of another run, a storage or data that cannot be used."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from nn_train.config import Config, config_from_dict, config_to_dict
from nn_train.config.entry_points import check_function
from nn_train.config.parse import flatten, parse_yaml
from nn_train.config.schema import METRICS, letters
from nn_train.engine.import_tensorflow import import_quietly, set_environment
from nn_train.engine.keras_names import check_keras_names
from nn_train.errors import RequestError, first_line
from nn_train.events import Handler, Line, unheard
from nn_train.runs.own_code import changed, own_code
from nn_train.runs.record import read_finished
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder

# Where, on how many workers and with how many checkpoints a run goes on does not make it another run.
IGNORED_SECTIONS = ("run", "scaling")
IGNORED_FIELDS = ("train.checkpoint_every_seconds",)
ABSENT = "left out"
OF_KERAS = ("model.name", "train.callbacks")  # functions whose modules import Keras


def existing_run(folder: ResultsFolder, config: Config) -> dict[str, Any] | None:
    """The record of a finished run of this config and code; None when there is something to do.

    Raises:
        RequestError: the folder holds another run, one of code that has changed, or something else.
    """
    if not folder.exists(layout.CONFIG):
        if not folder.is_empty():
            raise RequestError(f"name: {folder.location} exists and is not a run; give another --name")
        return None
    if config.run.overwrite:
        return None
    earlier = earlier_config(folder)
    differences = config_differences(earlier, config)
    if differences:
        shown = "; ".join(differences[:5]) + ("; …" if len(differences) > 5 else "")
        raise RequestError(
            f"name: {folder.location} holds a run of another config ({shown}); give another --name, "
            "or --run.overwrite true to replace it"
        )
    record = read_finished(folder)
    if record is not None and "code" in record:
        refuse_other_code(
            folder, "run", changed(record["code"]["modules"], own_code(config.functions.values())["modules"])
        )
    return record


def refuse_other_code(folder: ResultsFolder, what: str, modules: Sequence[str]) -> None:
    """Raise RequestError where modules of the user's are not those of the finished run or search (``what``) there."""
    if modules:
        raise RequestError(
            f"name: {folder.location} holds a finished {what} of other code ({', '.join(modules)} changed since); give "
            "another --name, or --run.overwrite true to do it again"
        )


def earlier_config(folder: ResultsFolder) -> Config:
    """What ``config.yaml`` of a folder says. Raises RequestError when it is damaged."""
    text = folder.read(layout.CONFIG).decode(errors="replace")
    return config_from_dict(parse_yaml(text, folder.path(layout.CONFIG)))


def config_differences(earlier: Config, now: Config) -> list[str]:
    """``field: earlier → now`` for every field that makes it another run."""
    before, after = (flatten(config_to_dict(one)) for one in (earlier, now))
    differences = []
    for field in {**before, **after}:
        old, value = before.get(field, ABSENT), after.get(field, ABSENT)
        ignored = field in IGNORED_FIELDS or field.partition(".")[0] in IGNORED_SECTIONS
        if not ignored and as_compared(field, old) != as_compared(field, value):
            differences.append(f"{field}: {old} → {value}")
    return differences


def as_compared(field: str, value: object) -> object:
    """Return a value of a config; names of Keras in one way of the several that a job may write."""
    return letters(str(value)) if field in (METRICS, "train.loss", "optimizer.name") else value


def check_early(config: Config, varied: Collection[str] = (), on_event: Handler = unheard) -> None:
    """Refuse before Ray starts what can be seen without the workers; ``varied`` are the fields of a search's space.
    ``on_event`` hears of data that are converted."""
    from importlib.util import find_spec

    from nn_train.datasets.class_weights import with_class_weights
    from nn_train.datasets.sources import can_check_early, load_data

    if "mlflow" in config.run.loggers:
        if find_spec("mlflow") is None:
            raise RequestError("run.loggers: mlflow is not installed here; pip install mlflow, or leave it out")
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            raise RequestError("run.loggers: mlflow needs the environment variable MLFLOW_TRACKING_URI: where to write")
    check_storage(config.run.storage_path)
    check_keras_names(config.optimizer, config.train)
    check_functions(config, varied)
    if can_check_early(config.data.source) and (config.data.source != "mnist" or config.train.class_weight):
        with_class_weights(load_data(config.data, lambda line: on_event(Line(line))), config.train.class_weight)


def check_functions(config: Config, varied: Collection[str]) -> None:
    """Import the user's functions in this process, and refuse other arguments than they take."""
    for field, name in config.functions.items():
        owner = f"{field.partition('.')[0]}.args"
        of_search = [varies.rpartition(".")[2] for varies in varied if varies.startswith(f"{owner}.")]
        given = {"model.name": config.model.args, "data.source": config.data.args}.get(field, {})
        set_environment()
        if field in OF_KERAS:
            with contextlib.suppress(ImportError):  # then only the workers have it
                import_quietly()  # quicker than as the user's module would
        check_function(field, name, None if field == "data.augment" else [*given, *of_search])


def check_storage(storage_path: str) -> None:
    """Refuse a local path that cannot become a folder."""
    if "://" in storage_path:
        return
    path = Path(os.path.expanduser(storage_path)).absolute()
    try:
        while not path.exists():
            path = path.parent
    except OSError as error:  # a part of it that must not be looked at
        raise RequestError(f"run.storage_path: {storage_path}: {first_line(error)}") from error
    if not path.is_dir() or not os.access(path, os.W_OK):
        reason = "is not a folder" if not path.is_dir() else "is not writable"
        raise RequestError(f"run.storage_path: {storage_path}: {path} {reason}")
