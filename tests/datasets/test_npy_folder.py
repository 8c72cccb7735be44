"""A folder of ``.npy`` files: the rows that the arrays in memory have, read one by one, and what is refused."""

from __future__ import annotations

import copy
import os
import pickle

import numpy as np
import pytest
from test_sources import BROKEN, good

from nn_train.config import DataConfig
from nn_train.datasets import IndexedExamples, load_data
from nn_train.datasets.npy_file import NpyFile
from nn_train.datasets.sources import load_test
from nn_train.errors import RequestError, TrainingError
from nn_train.storage.pieces import PiecesFile


def saved(folder, arrays):
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return str(folder)


def both(tmp_path, arrays, **settings):
    """The same data from a folder and from an ``.npz``."""
    np.savez(tmp_path / "data.npz", **arrays)
    sources = saved(tmp_path / "data", arrays), str(tmp_path / "data.npz")
    return [load_data(DataConfig(source=source, **settings)) for source in sources]


def read_all(source):
    data = load_data(DataConfig(source=source))
    return data.train.take(np.arange(data.train.size)), data.test.take(np.arange(data.test.size))


MORE = {"sample_weight": np.arange(30) / 7, "class_names": np.array(["a", "b", "c", "d"])}
VALIDATION = {"x_val": np.full((5, 8, 8), 9, np.uint8), "y_val": np.full((5, 1), 3), "sample_weight_val": np.ones(5)}
FLOATS = {name: good()[name].astype(">f8") / 7 for name in ("x_train", "x_test")}


@pytest.mark.parametrize("change", [{}, MORE, VALIDATION, FLOATS], ids=["bytes", "weights", "validation", "floats"])
def test_the_rows_are_those_of_the_arrays_in_memory(tmp_path, change):
    indexed, memory = both(tmp_path, {**good(), **change}, validation_fraction=0.3)
    assert (indexed.divisor, indexed.num_classes, indexed.class_names) == (
        memory.divisor,
        memory.num_classes,
        memory.class_names,
    )
    for name in ("train", "validation", "test"):
        part, expected = getattr(indexed, name), getattr(memory, name)
        assert isinstance(part, IndexedExamples)
        assert part.size == expected.size
        index = np.random.default_rng(0).integers(0, part.size, 40)  # some of them twice
        for one, other in zip(part.take(index).parts, expected.take(index).parts, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("make", "said"), BROKEN.values(), ids=BROKEN)
def test_what_is_refused_of_arrays_is_refused_of_files(tmp_path, make, said):
    source = saved(tmp_path / "data", make())
    said = "lacks y_test.npy" if said == "lacks y_test" else said
    with pytest.raises(RequestError, match=r"^data.source: ") as refusal:
        read_all(source)
    if said not in ("NaN or infinity", "a number of at least 0 for each of 30") and "too large" not in said:
        assert refusal.match(said)


@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN or infinity"), (1e39, "a number too large for float32")])
def test_a_number_that_is_none_is_named_with_file_and_row(tmp_path, value, said):
    x = np.zeros((30, 8, 8))
    x[17, 2, 5] = value
    arrays = {**good(), "x_train": x, "x_test": np.zeros((9, 8, 8))}
    data = load_data(DataConfig(source=saved(tmp_path / "data", arrays), validation_fraction=0))
    with pytest.raises(RequestError, match=rf"x_train.npy: row 17 holds {said}, first at index \(2, 5\)"):
        data.train.take(np.array([3, 17, 4]))


def test_only_the_rows_asked_for_are_read_and_neighbours_at_once(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.arange(6000).reshape(3000, 2))
    file, read, whole = NpyFile(str(tmp_path / "x.npy")), [], PiecesFile.read

    def counted(self, begin, count):
        read.append(count)
        return whole(self, begin, count)

    monkeypatch.setattr(PiecesFile, "read", counted)
    np.testing.assert_array_equal(file.take(np.array([7, 2000, 5, 6, 2999]))[:, 0], [14, 4000, 10, 12, 5998])
    assert sorted(read) == [16, 16, 48]
    backwards = np.arange(2500)[::-1]
    np.testing.assert_array_equal(file.take(backwards)[:, 0], 2 * backwards)
    assert file.take(np.empty(0, np.int64)).shape == (0, 2)
    with pytest.raises(IndexError):
        file.take(np.array([3000]))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_reads_the_same_rows(tmp_path, copied):
    np.save(tmp_path / "x.npy", np.arange(10))
    file = NpyFile(str(tmp_path / "x.npy"))
    assert copied(file).take(np.array([3, 1])).tolist() == [3, 1]


def damaged(tmp_path, change):
    source = saved(tmp_path / "data", good())
    change(tmp_path / "data" / "x_train.npy")
    return source


def cut(path):
    os.truncate(path, path.stat().st_size - 64 * 10 - 1)


FILES = {
    "missing": (os.unlink, "lacks x_train.npy"),
    "truncated": (cut, r"x_train.npy is damaged: it ends in row 19 of 30"),
    "empty": (lambda path: path.write_bytes(b""), "x_train.npy is no .npy file, or its head is damaged"),
    "in Fortran's order": (
        lambda path: np.save(path, np.asfortranarray(good()["x_train"])),
        "numpy.ascontiguousarray",
    ),
}


@pytest.mark.parametrize(("change", "said"), FILES.values(), ids=FILES)
def test_a_file_that_cannot_be_read_is_named_before_training(tmp_path, change, said):
    with pytest.raises(RequestError, match=f"^data.source: .*{said}"):
        load_data(DataConfig(source=damaged(tmp_path, change)))


def test_a_file_that_became_shorter_is_named_with_its_row(tmp_path):
    data = load_data(DataConfig(source=saved(tmp_path / "data", good()), validation_fraction=0))
    cut(tmp_path / "data" / "x_train.npy")
    assert data.train.take(np.array([18])).size == 1
    for index in (np.array([19]), np.arange(30), np.arange(30)[::-1]):
        with pytest.raises(TrainingError, match=r"data/x_train.npy ends in row 19 of 30: it became shorter"):
            data.train.take(index)


CHANGES = {
    "changed": (lambda path: os.utime(path, ns=(1, 1)), "1 ns"),
    "replaced": (lambda path: np.save(path, np.zeros(31, np.uint8)), "bytes of"),
    "gone": (os.unlink, "there is no such file"),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
def test_a_file_that_changes_meanwhile_is_named(tmp_path, change, said):
    data = load_data(DataConfig(source=saved(tmp_path / "data", good())))
    for part in (data.train, data.validation, data.test):
        part.check_unchanged()
    change(tmp_path / "data" / "y_train.npy")
    for part in (data.train, data.validation):
        with pytest.raises(TrainingError, match=f"y_train.npy changed since the run began .*{said}"):
            part.check_unchanged()
    data.test.check_unchanged()


def test_test_examples_alone_are_enough_for_an_evaluation(tmp_path):
    arrays = {name: array for name, array in good().items() if name.endswith("test")}
    data = load_test(DataConfig(source=saved(tmp_path / "data", arrays)))
    assert data.test.size == 9
    assert data.num_classes == 3


def test_more_examples_than_can_be_split_ask_for_validation_files(tmp_path, monkeypatch):
    monkeypatch.setattr("nn_train.datasets.arrays.MOST_TO_SPLIT", 29)
    source = saved(tmp_path / "data", good())
    with pytest.raises(RequestError, match=r"validation_fraction: 0.1 of 30 examples"):
        load_data(DataConfig(source=source))
    assert load_data(DataConfig(source=source, validation_fraction=0)).validation is None
