"""By what held-out examples are known again: what is compared, and what is left alone."""

from __future__ import annotations

import random

import numpy as np
import pytest

from nn_train.config import DataConfig
from nn_train.datasets import Examples, load_data
from nn_train.datasets.known_again import TEST, VALIDATION, changed_names, is_alike, known_by, mark_of, noted_test


def known(source):
    config = DataConfig(source=source)
    return known_by(load_data(config), config)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("mnist", []),
        ("user_data:arrays", [VALIDATION, TEST]),
        ("user_data:objects", [VALIDATION]),
        ("unlike_data:drawn_noise", []),  # targets that are drawn whenever they are read
    ],
)
def test_of_what_a_function_gives_the_held_out_targets_are_known(source, names):
    assert list(known(source)) == names
    assert not changed_names(known(source), known(source))


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("drawn_order", [VALIDATION]),
        ("drawn_validation", [VALIDATION]),
        ("drawn_parts", [VALIDATION, TEST]),
        ("drawn_test", [TEST]),
        ("drawn_inputs", []),
        ("drawn_rows", [VALIDATION]),
        ("drawn_test_rows", []),
        ("changed_rows", []),
        ("drawn_noise", []),
    ],
)
def test_others_are_noticed(source, changed):
    assert changed_names(known(f"unlike_data:{source}"), known(f"unlike_data:{source}")) == changed


def test_an_npz_and_files_that_are_read_by_rows_are_known_whole(tmp_path):
    import user_data

    (x, y), (x_test, y_test) = user_data.arrays()
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    user_data.save_folder(tmp_path / "data", user_data.arrays())
    before = known(str(tmp_path / "data.npz"))
    assert sorted(before) == ["x_test", "x_train", "y_test", "y_train"]
    assert sorted(known(str(tmp_path / "data"))) == ["x_test.npy", "x_train.npy", "y_test.npy", "y_train.npy"]
    np.savez(tmp_path / "data.npz", x_train=x + 1, y_train=y, x_test=x_test, y_test=y_test)
    assert changed_names(before, known(str(tmp_path / "data.npz"))) == ["x_train"]
    assert changed_names({}, before) == sorted(before)


FLOATS = {
    "normal": np.random.default_rng(0).normal(size=(50, 3)),
    "in kelvin": 288 + np.random.default_rng(0).normal(size=50),
    "one-hot": np.eye(10)[np.random.default_rng(0).integers(0, 10, 50)],
    "with gaps": np.where(np.arange(150).reshape(50, 3) % 4, np.random.default_rng(0).normal(size=(50, 3)), np.nan),
}


@pytest.mark.parametrize("name", FLOATS)
def test_floats_may_differ_in_their_last_digits_and_not_otherwise(name):
    y, x = FLOATS[name].astype(np.float32), np.zeros((50, 1))
    mark = mark_of(Examples(x, y))
    assert is_alike(mark, mark)
    assert is_alike(mark, mark_of(Examples(x, y * np.float32(1 + 2e-7))))
    assert not is_alike(mark, mark_of(Examples(x, np.roll(y, 1, axis=0))))
    assert not is_alike(mark, mark_of(Examples(x[:-1], y[:-1])))


def test_every_array_of_the_targets_is_compared_in_its_own_measure():
    x, large, small = np.zeros((50, 1)), np.linspace(100, 900, 50), np.linspace(0, 0.01, 50)
    mark = mark_of(Examples(x, {"box": large, "score": small, "label": np.arange(50)}, np.ones(50)))
    assert not is_alike(
        mark, mark_of(Examples(x, {"box": large, "score": small[::-1], "label": np.arange(50)}, np.ones(50)))
    )
    assert not is_alike(
        mark, mark_of(Examples(x, {"box": large, "score": small, "label": np.arange(50)[::-1]}, np.ones(50)))
    )
    assert not is_alike(mark, mark_of(Examples(x, {"box": large, "score": small, "label": np.arange(50)}, small)))
    assert not is_alike(mark, mark_of(Examples(x, {"box": large, "score": small, "label": np.arange(50)})))


def test_a_part_without_examples_has_a_mark():
    mark = mark_of(Examples(np.zeros((0, 2)), np.zeros((0, 3), np.float32)))
    assert is_alike(mark, mark)


@pytest.mark.tf
def test_batches_that_are_drawn_when_they_are_asked_for_are_not_compared(monkeypatch):
    """Of which the last few are kept."""
    import keras
    import user_data

    class Drawn(keras.utils.PyDataset):
        def __init__(self, noise):
            super().__init__()
            self.noise, self.generator = noise, np.random.default_rng()

        def __len__(self):
            return 3

        def __getitem__(self, at):
            return np.ones((8, 2)), at + self.noise * self.generator.normal(size=(8, 2))

    for noise, names in ((0.1, []), (0.0, [VALIDATION])):
        given = Drawn(noise), Drawn(noise), Drawn(noise)
        monkeypatch.setattr(user_data, "given_batches", lambda given=given: given, raising=False)
        assert list(known("user_data:given_batches")) == names


def test_what_is_drawn_while_rows_are_read_is_drawn_again():
    class Drawing:
        def __len__(self):
            return 40

        def take(self, index):
            return np.random.normal(size=len(index)), np.array([random.randrange(9) for _ in index])

        def fingerprint(self):
            return {}

    from nn_train.datasets import IndexedExamples

    random.seed(3)
    np.random.seed(3)
    expected = random.random(), np.random.normal()
    random.seed(3)
    np.random.seed(3)
    mark_of(IndexedExamples(Drawing()))
    assert (random.random(), np.random.normal()) == expected


def test_of_test_rows_the_evaluation_knows_a_mark():
    for source, names in (("user_data:objects", ["y_test"]), ("unlike_data:drawn_noise", [])):
        config = DataConfig(source=source)
        assert list(noted_test(load_data(config), config)) == names
