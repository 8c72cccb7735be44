"""What a search refuses before it starts: a space that cannot choose, and the folder of something else."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
from trial_records import job, journal_of, record

from nn_train.config import config_from_dict, dump_yaml
from nn_train.errors import RequestError
from nn_train.events import Warned
from nn_train.ray_cluster.serialization import pack
from nn_train.runs.own_code import own_code
from nn_train.search.driver import check_folder, check_request, check_search, search
from nn_train.search.results import write_results
from nn_train.search.shared_examples import load_arrays, share_examples
from nn_train.storage.folder import ResultsFolder

TOP_3, TOP_5 = ({"TopKCategoricalAccuracy": {"k": k, "name": "top"}} for k in (3, 5))


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({}, "search.space: is empty"),
        (
            {"data": {"validation_fraction": 0}, "search": {"space": {"seed": {"choice": [1]}}}},
            "needs validation examples",
        ),
        ({"search": {"space": {"sed": {"choice": [1]}}}}, "did you mean 'seed'"),
        (
            {
                "train": {"metrics": [{"MeanSquaredError": {"name": "mine"}}]},
                "search": {"space": {"seed": {"choice": [1]}}, "metric": "val_mine"},
            },
            "search.mode: val_mine is a name of your own, which does not say what is better; give min or max",
        ),
    ],
)
def test_a_search_that_cannot_choose_is_refused(monkeypatch, sections, said):
    monkeypatch.setattr("nn_train.search.driver.check_keras_names", lambda optimizer, train: None)
    with pytest.raises(RequestError, match=said):
        check_search(config_from_dict(sections))


@pytest.mark.tf
@pytest.mark.parametrize(
    ("metric", "space", "ways"),
    [
        ("val_top", {"train.metrics": {"choice": [[TOP_3], ["AUC", TOP_3]]}}, None),
        ("val_top", {"train.metrics": {"choice": [[TOP_3], [TOP_5]]}}, f"{TOP_3}, {TOP_5}"),
        ("val_f1_score_2", {"train.metrics": {"choice": [["F1Score"], ["AUC"]]}}, "F1Score, nothing of that name"),
    ],
    ids=str,
)
def test_trials_may_count_other_metrics_but_are_compared_by_one(metric, space, ways):
    config = config_from_dict({"search": {"space": space, "metric": metric, "mode": "max"}})
    if ways is None:
        assert set(check_search(config)) == set(space)
    else:
        with pytest.raises(RequestError, match=r"^search\.space\.train\.metrics: trials are compared by") as caught:
            check_search(config)
        assert f"search.metric, {metric}, which is not the same in all of them ({ways});" in str(caught.value)


def test_a_logger_that_cannot_work_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    config = job(tmp_path)
    run = dataclasses.replace(config.run, loggers=("mlflow",))
    with pytest.raises(RequestError, match=r"run\.loggers: mlflow needs the environment variable MLFLOW_TRACKING_URI"):
        check_request(dataclasses.replace(config, run=run))


@pytest.mark.parametrize("metric", ["val_accuracy", "loss"])
@pytest.mark.parametrize("read", [share_examples, load_arrays])
def test_where_a_source_has_none_no_trial_begins(tmp_path, monkeypatch, read, metric):
    monkeypatch.setattr("ray.put", lambda data: data)
    x, y = np.zeros((20, 3), np.float32), np.arange(20) % 2
    parts = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    np.savez(tmp_path / "without.npz", **parts)
    np.savez(tmp_path / "with.npz", **parts, x_val=x, y_val=y)
    for name, refused in (("with", False), ("without", metric == "val_accuracy")):
        data = {"source": str(tmp_path / f"{name}.npz"), "validation_fraction": 0}
        config = config_from_dict({"data": data, "search": {"metric": metric}})
        said = pytest.raises(RequestError, match=r"^search\.metric: val_accuracy needs validation examples; set data\.")
        with said if refused else contextlib.nullcontext():
            assert read(config, pack([]))[0].train.size == 20


def left_by(folder, config):
    """The folder after a search of ``config``."""
    folder = ResultsFolder(str(folder), "s")
    folder.write("config.yaml", dump_yaml(config, stages=("search",)).encode())
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"num_trials": 9},
        {"space": {"model.dropout": {"uniform": [0, 0.5]}}},
        {"epochs": 9},
    ],
    ids=str,
)
def test_a_search_can_be_extended(tmp_path, change):
    check_folder(left_by(tmp_path, job(tmp_path)), job(tmp_path, **change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "seed: 0 → 1"),
        ({"epochs": 3}, "train.epochs: 4 → 3, less than before"),
        ({"metric": "val_loss"}, "search.metric: val_accuracy → val_loss"),
        ({"mode": "min"}, "search.lower_is_better: False → True"),
    ],
)
def test_another_search_is_refused_unless_it_replaces(tmp_path, change, said):
    folder, other = left_by(tmp_path, job(tmp_path)), job(tmp_path, **change)
    with pytest.raises(RequestError, match="holds a search of another job") as caught:
        check_folder(folder, other)
    assert said in str(caught.value)
    check_folder(folder, dataclasses.replace(other, run=dataclasses.replace(other.run, overwrite=True)))


def test_a_folder_of_something_else_is_refused(tmp_path):
    of_run = ResultsFolder(str(tmp_path), "run")
    of_run.write("config.yaml", dump_yaml(job(tmp_path)).encode())
    of_files = ResultsFolder(str(tmp_path), "files")
    of_files.write("notes.txt", b"")
    for folder, said in ((of_run, "holds a run, not a search"), (of_files, "exists and is not a search")):
        with pytest.raises(RequestError, match=said):
            check_folder(folder, job(tmp_path))
    check_folder(ResultsFolder(str(tmp_path), "new"), job(tmp_path))


@pytest.mark.parametrize("trials", [1, 2])
def test_a_search_of_other_code_is_refused_where_it_is_finished_and_told_where_it_goes_on(
    tmp_path, monkeypatch, trials
):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "edited.py").write_text("def build(config): ...\n")

    def asked(num_trials):
        config = job(tmp_path, num_trials=num_trials)
        return dataclasses.replace(config, model=dataclasses.replace(config.model, name="edited:build"))

    config = asked(1)
    folder = left_by(tmp_path, config)
    journal = journal_of(folder, record("t00000", 0.5))
    write_results(config, folder, journal, 1.0, "", own_code(config.functions.values()))
    folder.write_json("code.json", own_code(config.functions.values()))  # as the session began
    told, ran = [], []
    monkeypatch.setattr("nn_train.runs.preflight.import_quietly", lambda: None)
    monkeypatch.setattr("nn_train.search.driver.run_session", lambda *given: ran.append(given))
    search(asked(trials), told.append)
    assert (len(ran), told) == (trials - 1, [])
    (tmp_path / "edited.py").write_text("def build(config): return None\n")
    if trials == 1:
        with pytest.raises(RequestError, match=r"holds a finished search of other code \(edited changed since\)"):
            search(asked(trials), told.append)
    else:
        search(asked(trials), told.append)
        assert told == [Warned("edited changed since the earlier trials: those to come are of other code")]
