"""What a search refuses before it starts: a space that cannot choose, and the folder of something else."""

from __future__ import annotations

import dataclasses

import pytest
from trial_records import job

from nn_train.config import config_from_dict, dump_yaml
from nn_train.errors import RequestError
from nn_train.search.driver import check_folder, check_request, check_search
from nn_train.storage.folder import ResultsFolder


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({}, "search.space: is empty"),
        (
            {"data": {"validation_fraction": 0}, "search": {"space": {"seed": {"choice": [1]}}}},
            "needs validation examples",
        ),
        ({"search": {"space": {"sed": {"choice": [1]}}}}, "did you mean 'seed'"),
    ],
)
def test_a_search_that_cannot_choose_is_refused(sections, said):
    with pytest.raises(RequestError, match=said):
        check_search(config_from_dict(sections))


def test_a_logger_that_cannot_work_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    config = job(tmp_path)
    run = dataclasses.replace(config.run, loggers=("mlflow",))
    with pytest.raises(RequestError, match=r"run\.loggers: mlflow needs the environment variable MLFLOW_TRACKING_URI"):
        check_request(dataclasses.replace(config, run=run))


def test_a_metric_of_training_needs_no_validation_examples():
    space = {"seed": {"choice": [1, 2]}}
    without = {"data": {"validation_fraction": 0}, "search": {"space": space, "metric": "loss"}}
    assert list(check_search(config_from_dict(without))) == ["seed"]


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
        {"algorithm": "tpe"},
        {"scheduler": "none"},
        {"keep_best": 9},
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
