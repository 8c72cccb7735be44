"""The jobs as functions of Python: what they take, and what a notebook's functions become."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import user_data

from nn_train.config import config_from_dict
from nn_train.config.entry_points import KEPT, check_function, kept, name_of
from nn_train.config.user_code import own_paths
from nn_train.errors import RequestError
from nn_train.jobs.given_values import Returns, config_of, source_of
from nn_train.ray_cluster.serialization import pack, unpack
from nn_train.runs.own_code import own_code

NOTEBOOK = Path(__file__).with_name("notebook.py")
TIMEOUT = 300  # seconds


@pytest.fixture(autouse=True)
def forgets():
    """Nothing is kept from test to test."""
    before = dict(KEPT)
    KEPT.clear()
    yield
    KEPT.clear()
    KEPT.update(before)


def here(units=4, *, depth):
    """A function of this test."""


@pytest.mark.parametrize(
    ("config", "sections", "expected"),
    [
        ("mnist_cnn", {"seed": 3}, {"name": "mnist_cnn", "seed": 3, "model": {"name": "cnn"}}),
        ({"train": {"epochs": 7}}, {"train": {"batch_size": 9}}, {"train": {"epochs": 7, "batch_size": 9}}),
        (None, {"model": "cnn", "data": Path("my.npz")}, {"model": {"name": "cnn"}, "data": {"source": "my.npz"}}),
        (None, {"data": user_data.arrays}, {"data": {"source": "user_data:arrays"}}),
        (
            None,
            {"model": {"name": here, "args": {"depth": 2}}},
            {"model": {"name": "__main__:here", "args": {"depth": 2}}},
        ),
    ],
)
def test_names_files_mappings_and_functions_make_a_config(monkeypatch, config, sections, expected):
    monkeypatch.setattr(here, "__module__", "__main__")
    preset = {"mnist_cnn": {"optimizer": config_of("mnist_cnn", {}).optimizer}}
    made, wanted = config_of(config, sections), config_from_dict(expected)
    assert made.model == wanted.model
    assert made.data == wanted.data
    assert made.train == wanted.train
    assert (made.name, made.seed) == (wanted.name, wanted.seed)
    assert made.optimizer == preset.get(str(config), {}).get("optimizer", wanted.optimizer)


@pytest.mark.parametrize(
    ("config", "sections", "said"),
    [
        (7, {}, "config: int is none; give a Config, a job file, a preset's name or a mapping"),
        (None, {"modell": here}, "modell: no such field; did you mean 'model'?"),
        (None, {"model": 3}, "model: int is neither a name nor a function that builds one, or a keras.Model"),
        (None, {"data": 3}, "data: int cannot be taken; give a name, a path, a function, ((x_train, y_train), (x_test"),
    ],
)
def test_something_else_is_refused_with_what_can_be_given(config, sections, said):
    with pytest.raises(RequestError) as refused:
        config_of(config, sections)
    assert said in str(refused.value)


def parts(x, y):
    return (x[:6], y[:6]), (x[6:], y[6:])


def test_arrays_of_classes_lie_beside_the_runs_once(tmp_path):
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 3
    run = {"storage_path": str(tmp_path)}
    first, same, other = (config_of(None, {"data": parts(x, labels), "run": run}) for labels in (y, y.copy(), y[::-1]))
    assert first.data == same.data != other.data
    assert first.job_name == "arrays_mlp"
    assert sorted(map(str, (tmp_path / "given").iterdir())) == sorted({first.data.source, other.data.source})
    with np.load(first.data.source) as kept:
        np.testing.assert_array_equal(kept["x_test"], x[6:])
        np.testing.assert_array_equal(kept["y_train"], y[:6])


def test_a_parcel_has_what_is_kept_and_where_modules_are(monkeypatch, tmp_path):
    factor = 3
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path), str(tmp_path / "gone")])
    names = [name_of(lambda x: factor * x, "model"), "user_data:arrays", "mnist", source_of([1, 2])]
    parcel = pack(names)
    KEPT.clear()
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "site-packages" in path])
    unpack(parcel)
    unpack(parcel)
    assert kept(names[0])(5) == 15
    assert kept(names[-1])() == [1, 2]
    assert sys.path.count(str(tmp_path)) == 1
    assert str(tmp_path / "gone") not in sys.path
    assert sum("site-packages" in path for path in sys.path) == len(set(sys.path) - set(own_paths()))


def test_what_cannot_be_sent_or_is_of_another_session_is_said():
    lock = threading.Lock()
    with pytest.raises(
        RequestError, match=r"__main__:model_\w+: cannot be sent to the workers: .*; let it make what it"
    ):
        pack([name_of(lambda: lock, "model")])
    with pytest.raises(RequestError, match=r"model.name: __main__:gone was defined in a session or script that is not"):
        check_function("model.name", "__main__:gone")


SOURCE = """
class Kind:
    def __call__(self): return {0}
kind = Kind()
def first(): return {0}
def second(): return first()
"""


def session(number):
    """What a session without files has defined."""
    namespace = {"__name__": "__main__"}
    exec(SOURCE.format(number), namespace)
    return namespace


@pytest.mark.parametrize(
    "make",
    [
        lambda n: eval(f"lambda: {n}"),
        lambda n: Returns(({"a": np.full(3, n)}, np.ones(3))),
        lambda n: Returns([threading.Lock(), n]),
        lambda n: session(n)["second"],
    ],
)
def test_another_function_or_content_is_noticed_and_the_same_is_the_same(make):
    config = config_from_dict({"model": {"name": "__main__:build"}})
    seen = []
    for number in (1, 1, 2):
        KEPT["__main__:build"] = make(number)
        seen.append(own_code(config.functions.values())["modules"]["__main__:build"])
    assert seen[0] == seen[1] != seen[2]


def test_a_name_is_that_of_earlier_versions_so_that_their_runs_resume():
    assert name_of(Returns([1, 2]), "callbacks") == "__main__:callbacks_fb1b3e22"


@pytest.mark.e2e
@pytest.mark.ray
@pytest.mark.long
@pytest.mark.limit(TIMEOUT)
def test_a_notebook_trains_searches_evaluates_and_predicts_with_its_own_functions(tmp_path):
    command = [sys.executable, "-", str(tmp_path)]
    done = subprocess.run(command, input=NOTEBOOK.read_text(), capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["functions"] == pytest.approx(told["arrays"], rel=1e-4)  # two workers and one
    assert told["folders"] == [f"results/{name}" for name in ("load_build", "arrays_build", "by_model", "found")]
    assert not told["again"]
    assert {"__main__:build", "__main__:load"} < set(told["code"]["modules"])
    assert told["epochs"] == "0 1 "
    assert told["begins with the model's"]
    assert told["of before"] == "none"
    assert "holds a finished run of other code (__main__:load changed since)" in told["other code"]
    assert "y_test changed since the run was trained" in told["other data"]
    assert told["other arrays"].startswith("name: ")
    assert (told["trials"], told["page"], told["written"]) == (2, "report/report.html", "three.csv")
    assert told["of the model"][1] == pytest.approx(told["accuracy"])
    assert told["unchanged"]
    assert (tmp_path / "three.csv").read_text().splitlines()[1].startswith("a,")
    assert "train the best: nn_train.train('" in done.stdout
    assert "Skipping variable" not in done.stderr

    words = ["evaluate", "--runs", "results/load_build", "--output", "report"]
    done = subprocess.run(
        [sys.executable, "-m", "nn_train.jobs", *words], cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert done.returncode == 2
    said = "error: load_build: data.source: __main__:load was defined in a session or script that is not this one"
    assert done.stderr.startswith(said)
