"""The fingerprints of examples: what is found, what is let pass, and what older versions have left."""

from __future__ import annotations

import numpy as np
import pytest
import user_data

from nn_train.config import DataConfig
from nn_train.datasets import Examples, load_data
from nn_train.datasets.fingerprints import PARTS, TEST, VALIDATION, changed, check_trial, fingerprint, known, note
from nn_train.errors import RequestError
from nn_train.storage.folder import ResultsFolder

TRAINING = PARTS[0]


def known_of(source, **args):
    config = DataConfig(source=source, args=args)
    return known(load_data(config), config)


@pytest.mark.parametrize(
    ("source", "others"),
    [
        ("mnist", []),
        ("user_data:arrays", []),
        ("user_data:objects", []),
        ("unlike_data:drawn_order", [TRAINING, VALIDATION]),
        ("unlike_data:drawn_validation", [VALIDATION]),
        ("unlike_data:drawn_parts", [TRAINING, VALIDATION, TEST]),
        ("unlike_data:drawn_test", [TEST]),
        ("unlike_data:drawn_inputs", [TRAINING, VALIDATION]),
        ("unlike_data:drawn_rows", [TRAINING, VALIDATION]),
        ("unlike_data:drawn_test_rows", [TEST]),
        ("unlike_data:changed_rows", []),  # inputs that are read one by one may be changed at random
        pytest.param("unlike_data:drawn_stream", [TRAINING], marks=pytest.mark.tf),
        pytest.param("unlike_data:drawn_validation_stream", [VALIDATION], marks=pytest.mark.tf),
        pytest.param("unlike_data:drawn_parts_stream", [TRAINING, VALIDATION], marks=pytest.mark.tf),
        pytest.param("unlike_data:drawn_test_stream", [], marks=pytest.mark.tf),  # which no training reads
        pytest.param("unlike_data:changed_stream", [], marks=pytest.mark.tf),
    ],
)
def test_a_function_that_gives_others_in_the_next_call_is_noticed(source, others):
    assert changed(known_of(source), known_of(source)) == others


def test_of_files_all_is_known(tmp_path):
    (x, y), (x_test, y_test) = user_data.arrays()
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    user_data.save_folder(tmp_path / "data", user_data.arrays())
    before = known_of(str(tmp_path / "data.npz"))
    assert sorted(before) == ["x_test", "x_train", "y_test", "y_train"]
    assert sorted(known_of(str(tmp_path / "data"))) == ["x_test.npy", "x_train.npy", "y_test.npy", "y_train.npy"]
    np.savez(tmp_path / "data.npz", x_train=x + 1, y_train=y, x_test=x_test, y_test=y_test)
    assert changed(before, known_of(str(tmp_path / "data.npz"))) == ["x_train"]
    assert sorted(changed({}, before)) == sorted(before)


FLOATS = {
    "normal": np.random.default_rng(0).normal(size=(50, 3)),
    "in kelvin": 288 + np.random.default_rng(0).normal(size=50),
    "one-hot": np.eye(10)[np.random.default_rng(0).integers(0, 10, 50)],
    "with gaps": np.where(np.arange(150).reshape(50, 3) % 4, np.random.default_rng(0).normal(size=(50, 3)), np.nan),
}


@pytest.mark.parametrize("name", FLOATS)
def test_floats_may_differ_in_their_last_digits_and_not_otherwise(name):
    y, x = FLOATS[name].astype(np.float32), np.zeros((50, 1))
    mark = fingerprint(Examples(x, y))
    assert mark == fingerprint(Examples(x, y * np.float32(1 + 1e-7)))
    assert mark != fingerprint(Examples(x, np.roll(y, 1, axis=0)))
    assert mark != fingerprint(Examples(x, 2 * y))
    assert mark != fingerprint(Examples(x[:-1], y[:-1]))
    assert mark != fingerprint(Examples(np.eye(50), y))


def test_every_kind_of_part_has_a_fingerprint():
    for x, y in ((np.zeros((0, 2)), np.zeros(0)), (np.full((9, 2), 0.1), np.array(["a", "b", "c"] * 3))):
        assert fingerprint(Examples(x, {"a": y, "b": (y, x)})) == fingerprint(Examples(x, {"a": y, "b": (y, x)}))


def test_a_run_that_began_with_other_examples_is_refused_with_the_contract(tmp_path):
    folder = ResultsFolder(str(tmp_path))
    note(folder, known_of("unlike_data:drawn_parts"))
    with pytest.raises(RequestError, match=r"^data\.source: training examples, .* changed since the run began .*same"):
        note(folder, known_of("unlike_data:drawn_parts"))
    note(folder, known_of("unlike_data:drawn_parts"), anew=True)  # before anything was trained


def test_what_older_versions_noted_of_a_function_is_passed_over(tmp_path):
    folder = ResultsFolder(str(tmp_path))
    folder.write_json("data.json", {"the validation targets": "5feceb66 ~ 0.5 0.25", "a.tfrecord": "9 bytes of 1 ns"})
    now = known_of("user_data:arrays")
    note(folder, {**now, "a.tfrecord": "9 bytes of 1 ns"})
    with pytest.raises(RequestError, match=r"a\.tfrecord changed since the run began \(a.* put it back as it was"):
        note(folder, {**now, "a.tfrecord": "9 bytes of 2 ns"})


def test_trials_have_the_same_validation_targets(tmp_path):
    folder = ResultsFolder(str(tmp_path))

    def check(**args):
        check_trial(load_data(DataConfig(source="user_data:first_columns", args=args)), folder)

    check(columns=3)
    check(columns=6)  # inputs may be others
    with pytest.raises(RequestError, match=r"^data\.source: the validation examples of this trial have other targets"):
        check(columns=6, split=7)
