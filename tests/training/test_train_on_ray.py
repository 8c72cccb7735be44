"""``train`` on a real local Ray: results, restarts and refusals."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import pytest
from process_tree import descendants
from processes import LOOPBACK, listening

from nn_train import train
from nn_train.config import config_from_dict
from nn_train.errors import RequestError, TrainingError
from nn_train.events import EpochEnded, Finished, Started, Starting, Waiting, WorkersLost
from nn_train.ray_cluster.session import ray_session
from nn_train.storage.folder import ResultsFolder
from nn_train.training import train_all

pytestmark = pytest.mark.ray
TIMES = ("seconds", "samples_per_second")
KERAS_3 = "user_code:keras_3"


@pytest.fixture(scope="module", autouse=True)
def ray(tmp_path_factory):
    """One Ray for the module; the workers inherit where MLflow writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", tmp_path_factory.mktemp("mlflow").as_uri())
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("TF_USE_LEGACY_KERAS", "1")  # what Ray's own TensorFlow workers get, and users may have set
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # where user_code is, for the workers
        with ray_session(verbose=False):
            yield


def make(folder, name, workers=2, **sections):
    sections = {"data": {"source": "user_data:arrays"}, **sections}
    sections["train"] = {"batch_size": 16, "epochs": 3, **sections.get("train", {})}
    sections["run"] = {"storage_path": str(folder), "loggers": [], **sections.get("run", {})}
    return config_from_dict({"name": name, "scaling": {"num_workers": workers}, **sections})


def history(folder, name):
    lines = (folder / name / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


UNHARMED = {"model": {"name": "failing_models:unharmed"}}
TWELVE_STEPS = {"batch_size": 8, "checkpoint_every_seconds": 1e-3}  # an epoch; a checkpoint at every pause


@pytest.fixture(scope="module")
def finished(ray, tmp_path_factory):
    """Three runs that share workers: their folder, configs, results and events. One worker is killed in the second."""
    import user_data

    folder, events = tmp_path_factory.mktemp("finished"), []
    user_data.save_folder(tmp_path_factory.mktemp("data") / "digits", user_data.arrays())
    of_folder = {"source": str(tmp_path_factory.getbasetemp() / "data0" / "digits")}
    loggers = {"run": {"loggers": ["tensorboard", "mlflow"]}}
    configs = [
        make(folder, name, train={"callbacks": f"user_callbacks:{call}", **TWELVE_STEPS}, **UNHARMED, **loggers, **data)
        for name, call, data in (
            ("run", "never_kill", {}),
            ("killed", "kill_once", {}),
            ("folder", "never_kill", {"data": of_folder}),
        )
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))  # what is left there is seen
        return folder, configs, train_all(configs, on_event=events.append), events


def test_a_folder_on_two_workers_is_trained_as_the_arrays_and_says_what_was_read(finished):
    folder, _, results, _ = finished
    about = results[2].record["data"]
    assert history(folder, "folder") == history(folder, "run")
    files = ["x_test.npy", "x_train.npy", "y_test.npy", "y_train.npy"]
    assert sorted(about["fingerprint"]) == sorted(json.loads((folder / "folder" / "data.json").read_text())) == files
    assert about["examples"] == {"train": 91, "validation": 10, "test": 40}
    assert about["read"]["epochs"] == 3
    assert about["read"]["workers"] == 2
    assert about["read"]["bytes"] > 3 * 91 * 6 * 4  # all rows, in each epoch
    assert about["read"]["seconds_waited"] >= 0


def test_a_run_reports_and_leaves_its_files(finished):
    folder, configs, (result, *_), events = finished
    assert [type(event) for event in events[:6]] == [Starting, Started, EpochEnded, EpochEnded, EpochEnded, Finished]
    assert result.trained
    assert result.record["status"] == "finished"
    assert result.record["world_size"] == 2
    files = {path.name for path in (folder / "run").iterdir()}
    of_loggers = {"tensorboard", "mlflow_run_id"}
    assert files == {
        "config.yaml",
        "metrics.jsonl",
        "model.keras",
        "result.json",
        "checkpoints",
        "logs",
        "code.json",
        "data.json",
        *of_loggers,
    }
    for rank in range(2):
        printed = (folder / "run" / "logs" / f"worker-{rank}.txt").read_text()
        assert printed.startswith("building the model\n")
        assert printed.count("building the model") == 1  # Ray Train logs it, too
        assert "Collective all_reduce" not in printed  # what TensorFlow logs
    assert sorted(path.name for path in folder.iterdir()) == ["folder", "killed", "run"]
    assert [event.row["epoch"] for event in events[2:5]] == [1, 2, 3]
    again = train(configs[0])
    assert not again.trained
    assert again.record == result.record


def test_tensorboard_reads_the_same_numbers(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    folder, *_ = finished
    events = EventAccumulator(str(folder / "run" / "tensorboard" / "validation"))
    events.Reload()
    values = [float(make_ndarray(entry.tensor_proto)) for entry in events.Tensors("epoch_loss")]
    assert values == pytest.approx([row["val_loss"] for row in history(folder, "run")])


def test_mlflow_gets_the_metrics_when_asked(finished):
    import mlflow

    folder, *_ = finished
    client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("nn_train")
    (run,) = [one for one in client.search_runs([experiment.experiment_id]) if one.info.run_name == "run"]
    logged = client.get_metric_history(run.info.run_id, "val_loss")
    assert [metric.value for metric in logged] == [row["val_loss"] for row in history(folder, "run")]
    assert run.data.params["train.batch_size"] == "8"


def test_a_worker_that_is_killed_in_the_second_run_changes_nothing_and_does_not_repeat_the_first(finished):
    folder, _, _, events = finished
    assert (folder / "killed" / "killed").exists()
    # The first epoch's event may die with the worker.
    of_a_run, steady = [Started, Finished], [event for event in events if not isinstance(event, EpochEnded)]
    expected = [Starting, *of_a_run, Started, WorkersLost, Starting, *of_a_run, *of_a_run]
    assert [type(event) for event in steady] == expected
    (killed,) = [event for event in steady if isinstance(event, WorkersLost)]
    assert killed.what.startswith("worker 0 was lost: killed")
    assert (killed.restart, killed.restarts) == (1, 3)
    starts = [(event.run, event.resumed_after) for event in steady if isinstance(event, Started)]
    assert starts == [("run", 0), ("killed", 0), ("killed", 1), ("folder", 0)]
    assert history(folder, "killed") == history(folder, "run")
    assert variables(folder, "killed") == variables(folder, "run")


@pytest.mark.long
def test_a_worker_that_hangs_is_replaced_and_changes_nothing(finished, tmp_path):
    events = []
    model = {"name": "failing_models:waiting_in_a_step"}
    train(make(tmp_path, "run", train=TWELVE_STEPS, model=model, run={"hang_timeout": 15}), on_event=events.append)
    assert (tmp_path / "run" / "struck").exists()
    (hung,) = [event for event in events if isinstance(event, WorkersLost)]
    assert "lost: its training has stopped moving (nothing of it has ended for " in hung.what
    starts = [(event.resumed_after, event.resumed_step) for event in events if isinstance(event, Started)]
    assert starts == [(0, 0), (0, 8)]  # from within the epoch in which it hung
    assert history(tmp_path, "run") == history(finished[0], "run")
    assert variables(tmp_path, "run") == variables(finished[0], "run")


def variables(folder, name):
    from nn_train.runs.checkpoints import load_newest

    newest = load_newest(ResultsFolder(str(folder), name), warn=pytest.fail)
    return [array.tobytes() for array in newest.variables]


def test_a_local_ray_is_reached_from_this_machine_alone():
    import ray

    @ray.remote(num_cpus=0)
    def work():
        return True

    ray.get(work.remote())
    children = descendants(os.getpid())  # among them are those of other tests
    started = [pid for pid, name in children.items() if Path(name).name in ("gcs_server", "raylet")]
    below = {pid: name for one in started for pid, name in descendants(one).items()}
    assert len(started) >= 2
    assert "ray::IDLE" in below.values()
    addresses = listening([os.getpid(), *started, *below])
    assert addresses
    assert addresses <= LOOPBACK


def model_of(folder, name):
    """The architecture as it is saved, but for ids of Python's, and the weights."""
    import keras

    with zipfile.ZipFile(folder / name / "model.keras") as archive:
        architecture = re.sub(r'"shared_object_id": \d+', "", archive.read("config.json").decode())
    return architecture, keras.models.load_model(folder / name / "model.keras").get_weights()


@pytest.mark.long
def test_runs_that_share_workers_are_those_of_workers_of_their_own(tmp_path):
    sections = {
        "wide": {"model": {"hidden_units": 20}},
        "half": {"seed": 4, "train": {"precision": "mixed_bfloat16"}},
        "deep": {"seed": 5, "model": {"name": "user_code:input_norm"}},
    }
    events = []
    together, alone = tmp_path / "together", tmp_path / "alone"
    results = train_all([make(together, name, **one) for name, one in sections.items()], on_event=events.append)
    assert [result.record["name"] for result in results] == list(sections)
    assert [type(event) for event in events].count(Starting) == 1
    assert [event.run for event in events if isinstance(event, Started)] == list(sections)
    name = "deep"  # the last, after all that others may have left
    train(make(alone, name, **sections[name]))
    assert history(together, name) == history(alone, name)
    (architecture, weights), (expected, expected_weights) = model_of(together, name), model_of(alone, name)
    assert architecture == expected
    assert all((a == b).all() for a, b in zip(weights, expected_weights, strict=True))


def test_a_busy_cluster_is_told_once_and_waited_for(tmp_path):
    import ray

    @ray.remote
    class OtherJob:
        pass

    cpus = ray.cluster_resources()["CPU"]
    other = OtherJob.options(num_cpus=cpus).remote()
    ray.get(other.__ray_ready__.remote())
    events = []

    def end_the_other_job_when_told(event):
        events.append(event)
        if isinstance(event, Waiting):
            ray.kill(other)

    config = make(tmp_path, "patient", workers=1, train={"epochs": 1}, model={"name": KERAS_3})
    train(config, on_event=end_the_other_job_when_told)
    assert [type(event) for event in events] == [Starting, Waiting, Started, EpochEnded, Finished]
    assert events[1].need == f"1 CPU: 0 of {cpus:g} free"


@pytest.mark.parametrize(
    ("scaling", "said"),
    [({"num_workers": 9999}, "9999 workers of 1 CPU"), ({"num_workers": 1, "use_gpu": True}, "the cluster has 0")],
)
def test_what_cannot_be_placed_is_refused_at_once(tmp_path, scaling, said):
    events = []
    sections = {"data": {"source": "user_data:arrays"}, "train": {"batch_size": 20000}, "scaling": scaling}
    config = config_from_dict({"name": "big", "run": {"storage_path": str(tmp_path)}, **sections})
    with pytest.raises(RequestError, match=said):
        train(config, on_event=events.append)
    assert events == []  # nothing was waited for
    assert not (tmp_path / "big").exists()


def test_what_only_the_workers_can_see_is_refused_without_a_trace(tmp_path):
    """More of it: ``test_collectives.py``."""
    events = []
    with pytest.raises(RequestError, match="train_step gives error, and no loss"):
        train(make(tmp_path, "refused", model={"name": "own_ways:names_no_loss"}), on_event=events.append)
    assert not (tmp_path / "refused").exists()
    assert Started not in [type(event) for event in events]


def test_a_mistake_in_user_code_is_shown_once_with_its_own_traceback(tmp_path):
    events = []
    with pytest.raises(TrainingError) as caught:
        train(make(tmp_path, "mistake", model={"name": "user_code:broken_model"}), on_event=events.append)
    shown = str(caught.value)
    assert "user_code.py" in shown
    assert "a mistake in the user's own code" in shown
    assert shown.count("Traceback") == 1
    assert [type(event) for event in events] == [Starting]  # no second try


def test_a_folder_of_another_config_is_refused_with_the_way_out(finished, tmp_path):
    shutil.copytree(finished[0] / "run", tmp_path / "taken")
    more = {"train": {"epochs": 4, "callbacks": "user_callbacks:never_kill", **TWELVE_STEPS}, **UNHARMED}
    with pytest.raises(RequestError, match=r"train.epochs: 3 → 4.*--run.overwrite true"):
        train(make(tmp_path, "taken", **more))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("")
    for overwrite in (False, True):
        with pytest.raises(RequestError, match="is not a run"):
            train(make(tmp_path, "thesis", run={"overwrite": overwrite}))
    assert (tmp_path / "thesis" / "chapter.tex").exists()
    first = (tmp_path / "taken" / "result.json").read_text()
    train(make(tmp_path, "taken", workers=1, train={"epochs": 1}, run={"overwrite": True}))
    assert (tmp_path / "taken" / "result.json").read_text() != first
    assert len(history(tmp_path, "taken")) == 1
