"""``trials.csv``, ``search.json`` and ``best.yaml``: complete, and readable by what comes after."""

from __future__ import annotations

import csv
import json

import pytest
from trial_records import job, journal_of, record

from nn_train.config import config_from_dict, read_config
from nn_train.report.inputs.search_results import load_search
from nn_train.search.results import MIXED, choose, write_results
from nn_train.storage.folder import ResultsFolder

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line {}\nValueError: five units'
ENDED = [
    record("t00001", 0.5, 0.75, started=12.0, finished=13.5, values={"optimizer.learning_rate": 0.1, "seed": 3}),
    record(
        "t00000", 0.9, 0.1, losses=[0.1, 0.2], started=10.0, finished=11.0, values={"optimizer.learning_rate": 1e-4}
    ),
    record("t00002", 0.3, status="stopped", cause="asha: not among the best", started=13.0, finished=13.25),
    record("t00003", status="failed", cause=TRACEBACK.format(1), started=14.0, finished=15.0),
    record("t00004", 0.99, status="failed", cause=TRACEBACK.format(2), started=15.0, finished=16.0),
    record("t00005", status="failed", cause="out of memory; lower train.batch_size", started=16.0, finished=17.0),
]


def write(folder, records=ENDED, ended="", storage=None, **search):
    config = job(storage or folder, **search)
    journal = journal_of(ResultsFolder(str(folder)), *records)
    return write_results(config, ResultsFolder(str(folder)), journal, 61.23456, ended, {"modules": {}})


def test_trials_csv_holds_every_trial_in_the_order_of_its_start(tmp_path):
    write(tmp_path)
    with open(tmp_path / "trials.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["trial_id"] for row in table] == [f"t{index:05d}" for index in range(6)]
    assert table[0] == {
        "trial_id": "t00000",
        "phase": "search",
        "status": "completed",
        "cause": "",
        "val_accuracy": "0.9",
        "loss": "0.5",
        "accuracy": "0.5",
        "val_loss": "0.1",
        "best_epoch": "1",
        "epochs": "2",
        "seconds": "1.0",
        "seed": "0",
        "config/optimizer.learning_rate": "0.0001",
    }
    assert table[3]["cause"] == TRACEBACK.format(1)
    assert (table[3]["val_accuracy"], table[3]["best_epoch"], table[3]["epochs"]) == ("", "", "0")


def test_the_report_reads_the_search(tmp_path):
    write(tmp_path, scheduler="asha")
    found = load_search(tmp_path)
    assert (found.metric, found.mode, found.about["algorithm"], found.about["scheduler"]) == (
        "val_accuracy",
        "max",
        "random",
        "asha",
    )
    assert (found.rungs, found.seconds) == ((1,), 61.235)
    assert found.params == ["optimizer.learning_rate"], "a seed that was not searched is none of them"
    assert [trial.trial_id for trial in found.ranked()] == ["t00000", "t00001"]
    assert found.trials[0].params["optimizer.learning_rate"] == 1e-4


def test_search_json_counts_trials_and_groups_failures_by_cause(tmp_path):
    summary = write(tmp_path)
    assert json.loads((tmp_path / "search.json").read_text()) == summary
    assert summary["trials"] == {"completed": 2, "stopped": 1, "failed": 3}
    assert summary["failures"] == [
        {"cause": "ValueError: five units", "trials": 2},
        {"cause": "out of memory; lower train.batch_size", "trials": 1},
    ]
    assert summary["best"] == {"trial": "t00000", "value": 0.9, "values": {"optimizer.learning_rate": 1e-4}}
    assert (summary["ended"], summary["mode"]) == ("all trials ended", "max")
    assert "no trial was given the test set" in summary["selection"]


@pytest.mark.parametrize("mixed", [False, True])
def test_best_yaml_is_a_job_for_jobs_train_and_says_where_its_values_alone_have_not_made_the_best(tmp_path, mixed):
    values = {"optimizer.learning_rate": 0.02, "train.batch_size": 32}
    write(tmp_path, records=[record("t00000", 0.9, values=values, mixed=mixed)])
    best = read_config(str(tmp_path / "best.yaml"), {})
    assert (best.name, best.optimizer.learning_rate, best.train.batch_size) == ("s_best", 0.02, 32)
    assert best.search == config_from_dict({}).search, "the section search is left out"
    comments = [line for line in (tmp_path / "best.yaml").read_text().splitlines() if line.startswith("#")]
    assert comments[0].startswith("# t00000 of the search s: val_accuracy 0.9 on the validation")
    assert comments[1:] == [f"# {MIXED}"] * mixed


def test_best_yaml_has_a_name_under_which_there_is_no_run_of_another_config(tmp_path):
    """Such as of the best before the search went on."""
    folder = tmp_path / "s"
    names = []
    for number, rate in enumerate((0.02, 0.02, 0.03, 0.03, 0.02)):
        better = record(f"t{number:05d}", 0.5 + number / 10, values={"optimizer.learning_rate": rate})
        write(folder, records=[better], storage=tmp_path)
        best = read_config(str(folder / "best.yaml"), {})
        names.append(best.name)
        ResultsFolder(str(tmp_path), best.name).write("config.yaml", (folder / "best.yaml").read_bytes())
    assert names == ["s_best", "s_best", "s_best_2", "s_best_2", "s_best"]


def test_confirmation_chooses_on_the_mean_and_keeps_the_runs_of_that_contender(tmp_path):
    confirming = [
        *(record(f"t00000-s{seed}", value, phase="confirm") for seed, value in ((1, 0.5), (2, 0.7))),
        *(record(f"t00001-s{seed}", 0.7, phase="confirm") for seed in (1, 2)),
    ]
    search = {"confirm": {"top": 2, "seeds": 2}}
    summary = write(tmp_path, records=[*ENDED, *confirming], **search)
    assert summary["best"]["trial"] == "t00001"
    first, second = summary["confirmed"]
    assert first == {"trial": "t00001", "mean": 0.7, "sd": 0.0, "values": [0.7, 0.7]}
    assert (second["trial"], second["values"]) == ("t00000", [0.5, 0.7])
    assert second["mean"] == pytest.approx(0.6)
    assert second["sd"] == pytest.approx(0.02**0.5)
    _, kept = choose(job(tmp_path, **search), journal_of(ResultsFolder(str(tmp_path / "again")), *ENDED, *confirming))
    assert [run.trial for run in kept] == ["t00001-s1", "t00001-s2"]


@pytest.mark.parametrize("records", [[], ENDED[3:]])
def test_without_any_value_nothing_is_chosen_and_the_trials_are_still_told(tmp_path, records):
    summary = write(tmp_path, records=records)
    assert summary["best"] is None
    assert summary["trials"]["failed"] == len(records)
    with open(tmp_path / "trials.csv", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["failed"] * len(records)
    assert not (tmp_path / "best.yaml").exists()
