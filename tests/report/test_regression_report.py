"""The report of a regression: its numbers, its page, and what is not in it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from check_report import check_report
from report_folders import evaluate_runs, some_predictions, write_run

from nn_train.errors import RequestError
from nn_train.evaluation import NumberPredictions
from nn_train.report import load_inputs
from nn_train.report.render import render


def numbers(noise, rows=90, targets=1):
    y = np.random.default_rng(0).gamma(2.0, 50.0, (rows, targets))
    given = y + noise * np.random.default_rng(1).normal(size=y.shape)
    return NumberPredictions(np.arange(rows), y, given.astype(np.float32))


def made(root, answers, output="numbers"):
    runs = [write_run(root, f"run{i}", seed=i, model=f"m:f{i}") for i in range(len(answers))]
    return evaluate_runs(runs, root / "out", answers=answers)


@pytest.mark.parametrize(("rows", "targets"), [(90, 1), (2_500, 3)])
def test_every_number_is_the_one_that_scikit_learn_gives(tmp_path, rows, targets):
    out = made(tmp_path, [numbers(noise, rows, targets) for noise in (10, 20)])
    (out / "confusion.csv").write_text("of an earlier report")
    page = render(load_inputs(out), out).read_text()
    assert check_report(out).failures == []
    content = json.loads((out / "metrics.json").read_text())
    assert (content["task"], len(content["test_set"]["targets"])) == ("regression", targets)
    assert not {"curves.csv", "confusion.csv", "calibration.csv"} & {file.name for file in out.iterdir()}
    assert len((out / "errors.csv").read_text().splitlines()) == 1 + 2 * 24
    assert "is off by" in page
    assert "Predicted and true values" in page
    assert ("drawn as a density of 2,500" in page) == (rows > 2_000)
    assert all(word not in page for word in ("McNemar", "Confusion", "ROC", "Wilson", "ECE"))
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    render(load_inputs(out), out)
    assert before == {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}


def test_a_number_that_is_wrong_is_found(tmp_path):
    out = made(tmp_path, [numbers(10)])
    render(load_inputs(out), out)
    content = json.loads((out / "metrics.json").read_text())
    content["runs"][0]["numbers"]["rmse"]["value"] += 1e-6
    (out / "metrics.json").write_text(json.dumps(content))
    assert len(check_report(out).failures) == 1 + 1  # its group's mean too


def test_runs_of_two_tasks_are_refused(tmp_path):
    out = made(tmp_path, [numbers(10), some_predictions(0, rows=90)])
    with pytest.raises(RequestError, match=r"evaluated as regression, 'run1' as multiclass; make one report for each"):
        render(load_inputs(out), out)
