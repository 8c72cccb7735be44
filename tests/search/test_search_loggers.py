"""What a search leaves for TensorBoard and MLflow."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import ClassVar

import pytest
from tensorboard.compat.proto import event_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.plugins.hparams import api_pb2, metadata
from trial_records import job, record

from nn_train.config.space import parse_space
from nn_train.search import loggers
from nn_train.search.mlflow_runs import MLflowRuns
from nn_train.search.tensorboard_curves import TensorBoardCurves
from nn_train.storage.folder import ResultsFolder

OTHER_VALUES = {"optimizer.learning_rate": 0.02}


def running(*values, **rest):
    return record("t00000", *values, status="running", **rest)


def ended(*values, **rest):
    return record("t00000", *values, **rest)


def board(folder, space=None, **search):
    config = job(folder, **search, **({"space": space} if space else {}))
    return TensorBoardCurves(config, parse_space(config.search.space, config), ResultsFolder(str(folder)))


def events_in(folder):
    """The events of the one file there."""
    (file,) = (path for path in folder.iterdir() if path.is_file())
    reader, events = PyRecordReader_New(str(file)), []
    while True:
        try:
            reader.GetNext()
        except Exception:  # the end, by whatever name the package gives it
            return events
        events.append(event_pb2.Event.FromString(reader.record()))


def curve(folder, tag):
    """Step to value, of every time that it was written."""
    return [
        (event.step, pytest.approx(value.simple_value))
        for event in events_in(folder)
        for value in event.summary.value
        if value.tag == tag
    ]


def plugin(folder, tag):
    """What the HParams plugin finds under a tag."""
    parse = {
        metadata.EXPERIMENT_TAG: metadata.parse_experiment_plugin_data,
        metadata.SESSION_START_INFO_TAG: metadata.parse_session_start_info_plugin_data,
        metadata.SESSION_END_INFO_TAG: metadata.parse_session_end_info_plugin_data,
    }[tag]
    found = [value for event in events_in(folder) for value in event.summary.value if value.tag == tag]
    return [parse(value.metadata.plugin_data.content) for value in found]


def test_a_trial_has_the_curves_of_a_run_now_and_then_and_at_its_end(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("nn_train.search.tensorboard_curves.time.monotonic", lambda: clock[0])
    curves, trial = board(tmp_path), tmp_path / "tensorboard" / "t00000"
    curves.log(running(0.5))
    assert not trial.exists()
    clock[0] = 31.0
    curves.log(running(0.5, 0.6))
    curves.log(running(0.5, 0.6, 0.7))
    assert curve(trial / "validation", "epoch_accuracy") == [(1, 0.5), (2, 0.6)]
    curves.log(ended(0.5, 0.7, 0.8))  # with another's weights since
    assert curve(trial / "validation", "epoch_accuracy") == [(1, 0.5), (2, 0.7), (3, 0.8)]
    assert curve(trial / "train", "epoch_accuracy") == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert curves.written_at == {}
    # A TensorBoard that runs is told to forget the file that it has read.
    assert events_in(trial / "train")[1].session_log.status == event_pb2.SessionLog.START


def test_a_search_that_resumes_leaves_ended_trials_and_replaces_those_that_end_again(tmp_path):
    first, folder = board(tmp_path), tmp_path / "tensorboard"
    first.log(dataclasses.replace(ended(0.9), trial="t00001"))
    first.log(ended(0.5))
    board(tmp_path).log(ended(0.5, 0.6, values=OTHER_VALUES))
    assert curve(folder / "t00000" / "validation", "epoch_accuracy") == [(1, 0.5), (2, 0.6)]
    assert curve(folder / "t00001" / "validation", "epoch_accuracy") == [(1, 0.9)]
    (start,) = plugin(folder / "t00000", metadata.SESSION_START_INFO_TAG)
    assert start.hparams["optimizer.learning_rate"].number_value == 0.02


@pytest.mark.parametrize(
    ("status", "shown", "best"),
    [
        ("completed", api_pb2.STATUS_SUCCESS, [(2, 0.6)]),
        ("stopped", api_pb2.STATUS_SUCCESS, [(2, 0.6)]),
        ("failed", api_pb2.STATUS_FAILURE, []),
    ],
)
def test_hparams_has_the_values_the_end_and_the_metric_at_the_best_epoch(tmp_path, status, shown, best):
    curves, trial = board(tmp_path, metric="val_accuracy"), tmp_path / "tensorboard" / "t00000"
    values = {"optimizer.learning_rate": 0.1, "model.name": "cnn", "model.hidden_units": (32, 16), "model.l2": None}
    curves.log(ended(0.5, 0.6, 0.9, losses=[0.3, 0.1, 0.2], status=status, values=values, started=5.0, finished=8.0))
    (start,) = plugin(trial, metadata.SESSION_START_INFO_TAG)
    assert start.group_name == "t00000"
    assert start.start_time_secs == 5.0
    shown_values = {name: value.number_value or value.string_value for name, value in start.hparams.items()}
    assert shown_values == {"optimizer.learning_rate": 0.1, "model.name": "cnn", "model.hidden_units": "[32, 16]"}
    (end,) = plugin(trial, metadata.SESSION_END_INFO_TAG)
    assert (end.status, end.end_time_secs) == (shown, 8.0)
    assert curve(trial, "best_epoch/val_accuracy") == best


@pytest.fixture
def client(tmp_path, monkeypatch):
    """A real store of MLflow, in files."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return mlflow.MlflowClient()


def mlflow_runs(folder, **search):
    config = job(folder, **search)
    return MLflowRuns(config, parse_space(config.search.space, config), ResultsFolder(str(folder / "s")))


def runs_by_name(client):
    """The runs of the search and its trials; two of one name are an error."""
    found = client.search_runs([client.get_experiment_by_name("nn_train").experiment_id])
    named = {run.info.run_name: run for run in found}
    assert len(named) == len(found)
    return named


def logged(client, run, metric="val_accuracy"):
    return [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, metric)]


def test_mlflow_has_a_run_for_the_search_and_a_child_for_each_trial(tmp_path, client):
    runs = mlflow_runs(tmp_path, scheduler="asha")
    for name, status in (("t00000", "completed"), ("t00001", "stopped"), ("t00002", "failed")):
        runs.log(dataclasses.replace(running(0.5), trial=name))
        runs.log(record(name, 0.5, 0.6, status=status, cause="" if status == "completed" else "why\nall"))
    runs.close("FINISHED")
    named = runs_by_name(client)
    parent = named.pop("s")
    assert (parent.info.status, parent.data.params["train.epochs"]) == ("FINISHED", "4")
    assert parent.data.tags["scheduler"] == "asha"
    assert {name: run.info.status for name, run in named.items()} == {
        "t00000": "FINISHED",
        "t00001": "KILLED",
        "t00002": "FAILED",
    }
    for run in named.values():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.params == {"optimizer.learning_rate": "0.01"}
        assert logged(client, run) == [(1, 0.5), (2, 0.6)]
    assert logged(client, named["t00001"], "best_epoch/val_accuracy") == [(2, 0.6)]
    assert named["t00001"].data.tags["cause"] == "why"


@pytest.mark.parametrize("killed", [False, True])
def test_a_search_resumes_in_its_mlflow_run_and_a_trial_in_another(tmp_path, client, killed):
    first = mlflow_runs(tmp_path)
    first.log(running(0.5, 0.6))
    if not killed:
        first.close("KILLED")
    second = mlflow_runs(tmp_path)
    second.log(running(0.5))  # from an earlier checkpoint
    second.log(ended(0.5, 0.6, 0.7))
    second.close("FINISHED")
    found = client.search_runs([client.get_experiment_by_name("nn_train").experiment_id])
    of = {(run.info.run_name, run.info.status): run for run in found}
    assert set(of) == {("s", "FINISHED"), ("t00000", "KILLED"), ("t00000", "FINISHED")}
    assert len(found) == 3
    assert logged(client, of["t00000", "KILLED"]) == [(1, 0.5), (2, 0.6)]
    assert logged(client, of["t00000", "FINISHED"]) == [(1, 0.5), (2, 0.6), (3, 0.7)]


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")]
)
def test_loggers_are_told_how_the_session_ended(monkeypatch, error, status):
    class Heard:
        closed: ClassVar[list[str]] = []

        def __init__(self, *of_search):
            pass

        def close(self, status):
            self.closed.append(status)

    monkeypatch.setitem(loggers.KINDS, "mlflow", Heard)
    config = job()
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, loggers=("mlflow",)))
    of_search = loggers.loggers_of_search(config, {}, None, print, must_work=True)
    with contextlib.suppress(KeyboardInterrupt, ValueError), of_search:
        if error is not None:
            raise error
    assert Heard.closed == [status]
