"""The wheel, installed in an environment of its own and used in an empty folder."""

from __future__ import annotations

import json
import subprocess
import zipfile

import pytest
import yaml

TIMEOUT = 300  # seconds
MINE = """
import keras
import numpy as np


def load():
    x = np.random.default_rng(0).normal(size=(90, 6)).astype("float32")
    y = (x[:, 0] + x[:, 1] > 0).astype("int64")
    return (x[:60], y[:60]), (x[60:], y[60:])


def build(units: int = 4):
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(2, "softmax")])
"""
SMALL = ["--data.source", "mine:load", "--scaling.num_workers", "1", "--train.epochs", "1"]

pytestmark = [pytest.mark.e2e, pytest.mark.ray, pytest.mark.long]


def run(environment, folder, *words, code=0):
    """What the installed command prints in a folder."""
    done = subprocess.run(
        [environment / "nn-train", *words], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_the_wheel_has_one_package_with_types_presets_and_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"nn_train"}
    there = {"py.typed", "datasets/data/mnist.npz", "presets/mnist.yaml", "report/page/templates/report.html.j2"}
    assert {f"nn_train/{name}" for name in there} <= set(names)
    (licenses,) = (name for name in names if name.endswith("licenses/LICENSE"))
    assert any(name == licenses.replace("LICENSE", "NOTICE") for name in names)


def test_a_problem_of_ones_own_is_solved_in_an_empty_folder(environment, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    own = [*SMALL, "--model.name", "mine:build"]
    said = run(environment, tmp_path, "train", *own, "--model.args.units", "5")
    assert said.endswith(f"results in {tmp_path}/results/load_build\n")
    record = json.loads((tmp_path / "results/load_build/result.json").read_text())
    assert record["command"][:2] == ["nn-train", "train"]
    assert list(record["code"]["modules"]) == ["mine"]

    space = {"model.args.units": {"choice": [3, 6]}}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({"name": "found", "search": {"space": space, "num_trials": 2}}))
    said = run(environment, tmp_path, "tune", "--config", "job.yaml", *own, "--search.max_concurrent", "1")
    assert f"train the best: nn-train train --config {tmp_path}/results/found/best.yaml\n" in said

    run(environment, tmp_path, "evaluate", "--runs", "results/load_build", "results/found", "--output", "report")
    assert (tmp_path / "report/report.html").exists()
    said = run(environment, tmp_path, "train", *own, "--name", "x", "--model.args.unit", "5", code=2)
    assert said.endswith("did you mean 'units'?\n")


def test_presets_and_the_doctor_are_there(environment, tmp_path):
    said = run(environment, tmp_path, "train", "--config", "mnist_cmn", code=2)
    assert "no preset of that name; did you mean 'mnist_cnn'?" in said
    assert "storage" in run(environment, tmp_path, "doctor", "--scaling.num_workers", "1")
