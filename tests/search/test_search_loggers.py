"""What a search leaves for TensorBoard and MLflow, and that a logger which fails costs no training."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from tensorboard.compat.proto import event_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.plugins.hparams import api_pb2, metadata
from trial_records import job, record

from nn_train.config.space import parse_space
from nn_train.errors import RequestError
from nn_train.search import loggers
from nn_train.search.loggers import PAUSE, SearchLoggers
from nn_train.search.mlflow_runs import MLflowRuns
from nn_train.search.tensorboard_curves import TensorBoardCurves
from nn_train.storage.folder import ResultsFolder

MANY_KINDS = {
    "optimizer.learning_rate": {"loguniform": [1e-4, 1e-1]},
    "model.name": {"choice": ["mlp", "cnn"]},
    "model.hidden_units": {"by": {"model.name": {"mlp": {"choice": [64, 128]}, "cnn": 32}}},
    "optimizer.warmup_steps": {"times": ["train.batch_size", 2]},
    "train.batch_size": {"choice": [8, 16]},
}


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


def test_a_trial_has_the_curves_of_a_run_while_it_trains(tmp_path):
    curves, trial = board(tmp_path), tmp_path / "tensorboard" / "t00000"
    curves.log(running(0.5))
    assert curve(trial / "validation", "epoch_accuracy") == [(1, 0.5)]
    curves.log(running(0.5, 0.6))
    curves.log(ended(0.5, 0.6, 0.7))
    assert curve(trial / "validation", "epoch_accuracy") == [(1, 0.5), (2, 0.6), (3, 0.7)]
    assert curve(trial / "train", "epoch_accuracy") == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert curves.written == {}


OTHER_VALUES = {"optimizer.learning_rate": 0.02}


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        pytest.param(running(0.5, 0.6), running(0.5), [0.5], id="an earlier epoch"),
        pytest.param(running(0.5, 0.6), running(0.5, 0.7, 0.8), [0.5, 0.7, 0.8], id="another's weights"),
        pytest.param(running(0.5), running(0.5, 0.6, values=OTHER_VALUES), [0.5, 0.6], id="other values"),
    ],
)
def test_a_trial_that_does_not_simply_go_on_has_one_curve(tmp_path, first, then, expected):
    curves, trial = board(tmp_path), tmp_path / "tensorboard" / "t00000"
    curves.log(first)
    curves.log(then)
    assert curve(trial / "validation", "epoch_accuracy") == list(enumerate(expected, start=1))
    (start,) = plugin(trial, metadata.SESSION_START_INFO_TAG)
    assert start.hparams["optimizer.learning_rate"].number_value == then.values["optimizer.learning_rate"]


def test_a_search_that_goes_on_leaves_ended_trials_and_has_one_curve_of_those_cut_off(tmp_path):
    first = board(tmp_path)
    first.log(dataclasses.replace(ended(0.9), trial="t00001"))
    first.log(running(0.5, 0.6, 0.7))
    second, trial = board(tmp_path), tmp_path / "tensorboard" / "t00000"
    second.log(running(0.5, 0.6))
    second.log(ended(0.5, 0.6, 0.7, 0.8))
    assert curve(trial / "validation", "epoch_accuracy") == [(1, 0.5), (2, 0.6), (3, 0.7), (4, 0.8)]
    # A TensorBoard that runs is told to forget the file that it has read.
    assert events_in(trial / "train")[1].session_log.status == event_pb2.SessionLog.START
    assert curve(tmp_path / "tensorboard" / "t00001" / "validation", "epoch_accuracy") == [(1, 0.9)]


def test_what_a_disk_that_was_full_has_of_a_trial_is_written_anew(tmp_path, monkeypatch):
    curves, trial = board(tmp_path), tmp_path / "tensorboard" / "t00000"
    curves.log(running(0.5))
    with monkeypatch.context() as patch:
        patch.setattr(curves.folder, "append", lambda name, content: (tmp_path / "no" / "such").write_bytes(content))
        with pytest.raises(OSError, match="such"):
            curves.log(running(0.5, 0.6))
    curves.log(running(0.5, 0.6, 0.7))
    assert curve(trial / "validation", "epoch_accuracy") == [(1, 0.5), (2, 0.6), (3, 0.7)]


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


def test_the_columns_of_hparams_are_those_of_the_last_session(tmp_path):
    board(tmp_path)
    board(tmp_path, MANY_KINDS, metric="auc")
    (columns,) = plugin(tmp_path / "tensorboard", metadata.EXPERIMENT_TAG)
    number, text = api_pb2.DATA_TYPE_FLOAT64, api_pb2.DATA_TYPE_STRING
    types = {column.name: column.type for column in columns.hparam_infos}
    assert types == dict(zip(MANY_KINDS, [number, text, number, number, number], strict=True))
    tags = [metric.name.tag.removeprefix("best_epoch/") for metric in columns.metric_infos]
    assert tags == ["auc", "loss", "accuracy", "val_loss", "val_accuracy"]


def test_on_an_object_store_a_trial_is_written_whole_now_and_then_and_at_its_end(tmp_path, monkeypatch):
    curves, trial, clock = board(tmp_path), tmp_path / "tensorboard" / "t00000", [0.0]
    curves.folder.is_local, curves.folder.append = False, None
    curves.folder.write = ResultsFolder(str(tmp_path / "tensorboard")).write
    monkeypatch.setattr("nn_train.search.tensorboard_curves.time.monotonic", lambda: clock[0])
    curves.log(running(0.5))
    assert not trial.exists()
    clock[0] = 40.0
    curves.log(running(0.5, 0.6))
    curves.log(running(0.5, 0.6, 0.7))
    assert curve(trial / "validation", "epoch_accuracy") == [(1, 0.5), (2, 0.6)]
    curves.log(ended(0.5, 0.6, 0.7, 0.8))
    assert curve(trial / "validation", "epoch_accuracy") == [(1, 0.5), (2, 0.6), (3, 0.7), (4, 0.8)]


def test_the_driver_writes_events_without_tensorflow():
    code = "import sys, nn_train.search.event_records as e; e.opening(0.0); print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


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


def test_a_search_and_its_trials_go_on_in_their_mlflow_runs(tmp_path, client):
    first = mlflow_runs(tmp_path)
    first.log(running(0.5, 0.6))
    first.log(dataclasses.replace(running(0.5), trial="t00001"))
    first.close("KILLED")
    assert {run.info.status for run in runs_by_name(client).values()} == {"KILLED"}
    second = mlflow_runs(tmp_path)
    assert {run.info.status for run in runs_by_name(client).values()} == {"RUNNING"}
    second.log(running(0.5))  # from an earlier checkpoint
    second.log(ended(0.5, 0.6, 0.7))
    second.close("FINISHED")
    named = runs_by_name(client)
    assert set(named) == {"s", "t00000", "t00001"}
    assert logged(client, named["t00000"]) == [(1, 0.5), (2, 0.6), (3, 0.7)]
    assert {name: run.info.status for name, run in named.items()} == {
        "s": "FINISHED",
        "t00000": "FINISHED",
        "t00001": "KILLED",
    }


def test_a_trial_that_draws_other_values_has_another_mlflow_run(tmp_path, client):
    mlflow_runs(tmp_path).log(running(0.5))
    mlflow_runs(tmp_path).log(ended(0.5, values=OTHER_VALUES))
    found = client.search_runs(
        [client.get_experiment_by_name("nn_train").experiment_id], "attributes.run_name = 't00000'"
    )
    assert {(run.data.params["optimizer.learning_rate"], run.info.status) for run in found} == {
        ("0.01", "KILLED"),
        ("0.02", "FINISHED"),
    }


def test_the_values_that_pbt_changes_are_mlflow_parameters_at_the_end(tmp_path, client):
    runs = mlflow_runs(tmp_path, scheduler="pbt")
    runs.log(running(0.5))
    runs.log(ended(0.5, 0.6, values=OTHER_VALUES))
    assert runs_by_name(client)["t00000"].data.params == {"optimizer.learning_rate": "0.02"}


class Server:
    """A logger that works where it is up."""

    def __init__(self):
        self.up, self.heard, self.tries, self.closed = True, [], 0, []

    def __call__(self, config, space, folder):
        self.refuse_when_down()
        return self

    def refuse_when_down(self):
        if not self.up:
            self.tries += 1
            raise ConnectionError("no answer from http://ann:SECRET@mlflow:5000\nat all")

    def log(self, record):
        self.refuse_when_down()
        self.heard.append((record.trial, record.status, len(record.rows)))

    def close(self, status):
        self.refuse_when_down()
        self.closed.append(status)


@dataclasses.dataclass
class Loggers:
    """Loggers of one server, what was said of it, and the time."""

    server: Server
    must_work: bool = True
    now: float = 0.0

    def __post_init__(self):
        self.said = []
        config = job()
        config = dataclasses.replace(config, run=dataclasses.replace(config.run, loggers=("mlflow",)))
        self.loggers = SearchLoggers(config, {}, None, self.said.append, self.must_work, clock=lambda: self.now)


@pytest.fixture
def server(monkeypatch):
    made = Server()
    monkeypatch.setitem(loggers.KINDS, "mlflow", made)
    return made


def test_what_fails_on_the_way_is_told_once_left_alone_for_a_while_and_then_told_what_it_missed(server):
    stage = Loggers(server)
    server.up = False
    stage.loggers.log(running(0.5))
    stage.loggers.log(ended(0.5, 0.6))
    for stage.now in (PAUSE - 1, PAUSE):
        stage.loggers.log(dataclasses.replace(running(0.5), trial="t00001"))
    assert stage.said == [
        f"mlflow does not work: no answer from http://…@mlflow:5000; tried again every {PAUSE:g} s",
    ]
    assert server.tries == 2
    server.up, stage.now = True, 2 * PAUSE
    stage.loggers.log(dataclasses.replace(running(0.5, 0.6), trial="t00001"))
    assert server.heard == [("t00000", "completed", 2), ("t00001", "running", 2)]
    stage.loggers.close("FINISHED")
    assert len(stage.said) == 1
    assert server.closed == ["FINISHED"]


def test_what_stays_down_is_told_at_the_end(server):
    stage = Loggers(server)
    server.up = False
    stage.loggers.log(ended(0.5))
    stage.loggers.close("FINISHED")
    assert stage.said[1:] == ["mlflow did not get 1 trial: no answer from http://…@mlflow:5000"]


def test_what_is_down_at_the_start_refuses_a_new_search_and_not_one_that_goes_on(server):
    server.up = False
    with pytest.raises(RequestError, match=r"^run\.loggers: mlflow does not work: no answer .*; mend it, or leave it"):
        Loggers(server)
    stage = Loggers(server, must_work=False)
    stage.loggers.log(ended(0.5))
    server.up, stage.now = True, PAUSE
    stage.loggers.log(dataclasses.replace(running(0.5), trial="t00001"))
    assert server.heard == [("t00000", "completed", 1), ("t00001", "running", 1)]


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")]
)
def test_loggers_are_told_how_the_session_ended(server, error, status):
    try:
        with Loggers(server).loggers:
            if error is not None:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    assert server.closed == [status]
