"""Objects of the user's with examples by their numbers: what is taken, and what is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import user_data

from nn_train.config import DataConfig
from nn_train.datasets import IndexedExamples, load_data
from nn_train.errors import RequestError


class Given:
    """Examples as they are in a list."""

    def __init__(self, examples):
        self.examples = examples

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, at):
        return self.examples[at]


@pytest.fixture
def load(monkeypatch):
    """``load(parts…)``: what is read of a function that returns these."""

    def load(*parts, **settings):
        monkeypatch.setattr(user_data, "given_objects", lambda: parts, raising=False)
        return load_data(DataConfig(source="user_data:given_objects", **settings))

    return load


def test_examples_are_those_of_the_same_arrays_and_held_out_alike(load):
    indexed, memory = (load_data(DataConfig(source=f"user_data:{name}")) for name in ("objects", "named"))
    assert (indexed.num_classes, indexed.class_names, indexed.divisor) == (3, memory.class_names, None)
    for name in ("train", "validation", "test"):
        part, expected = getattr(indexed, name), getattr(memory, name)
        assert isinstance(part, IndexedExamples)
        for one, other in zip(part.take(np.arange(part.size)).parts, expected.parts, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_three_parts_weights_and_images_of_bytes(load):
    images = [(np.full((4, 4), at, np.uint8), at % 2, 0.5 * at) for at in range(5)]
    data = load(Given(images), Given(images[:2]), Given(images[:3]), ["a", "b", "c"])
    assert (data.divisor, data.num_classes) == (255.0, 3)
    assert [part.size for part in (data.train, data.validation, data.test)] == [5, 2, 3]
    x, y, weight = data.train.take(np.array([4, 1, 4])).parts
    assert (x.shape, x.dtype, y.tolist(), weight.tolist()) == ((3, 4, 4, 1), np.uint8, [0, 1, 0], [2.0, 0.5, 2.0])
    assert (weight.dtype, x[:, 0, 0, 0].tolist()) == (np.float32, [4, 1, 4])


def test_several_inputs_and_targets_that_are_no_classes_are_taken_as_they_are(load):
    part = Given([({"left": np.ones(2) * at, "right": [at, at]}, np.ones(3) * at) for at in range(4)])
    data = load(part, part, validation_fraction=0.25)
    assert (data.num_classes, data.validation.size) == (None, 1)
    examples = data.test.take(np.array([2, 3]))
    assert examples.x["left"].tolist() == [[2, 2], [3, 3]]
    assert [column.tolist() for column in examples.x["right"]] == [[2, 3], [2, 3]]
    assert examples.y.shape == (2, 3)


def test_several_at_once_are_asked_for_where_the_object_can(load):
    class AtOnce(Given):
        def __getitems__(self, index):
            asked.append(index)
            return [self.examples[at] for at in index]

    asked = []
    part = AtOnce([(np.ones(2) * at, at % 2) for at in range(9)])
    data = load(part, part, validation_fraction=0)
    asked.clear()
    assert data.train.take(np.array([5, 3])).x[:, 0].tolist() == [5, 3]
    assert asked == [[5, 3]]


ONE = (np.ones(2), 0)
REFUSED = {
    "nothing": ([], None, "the train part has no example"),
    "no pair": ([np.ones(2)], None, "the train part, example 0: is ndarray; expected"),
    "unlike shapes": ([ONE, (np.ones(3), 1)], None, "the examples 0, 1, … are not alike: .*same shape"),
    "infinity": ([ONE, (np.array([1, np.inf]), 1)], None, "examples 0, 1: x holds NaN or infinity, first at index"),
    "a negative label": ([ONE, (np.ones(2), -1)], None, "examples 0, 1: y holds label -1"),
    "a class without a name": ([ONE, (np.ones(2), 2)], ["a", "b"], "a label is 2, and 2 classes have names"),
}


@pytest.mark.parametrize(("examples", "names", "said"), REFUSED.values(), ids=REFUSED)
def test_examples_that_cannot_be_learned_from_are_named(load, examples, names, said):
    with pytest.raises(RequestError, match=f"^data.source: user_data:given_objects: .*{said}"):
        read_all(load, Given(examples), names)


def read_all(load, part, names):
    data = load(part, part, *([names] if names else []), validation_fraction=0)
    data.train.take(np.arange(data.train.size))


@pytest.mark.parametrize("target", ["ash", b"ash", None, {"kind": "ash", "height": 1.0}])
def test_targets_that_are_no_numbers_are_refused(load, target):
    with pytest.raises(
        RequestError, match=r"^data.source: .*, example 0: its target is (<U3|.S3|object); expected num"
    ):
        load(*[Given([({"height": np.ones(2)}, target)] * 3)] * 2)


def test_bytes_in_one_part_only_are_refused(load):
    with pytest.raises(RequestError, match="uint8, which is divided by 255, in one part and not in another"):
        load(Given([(np.ones(2, np.uint8), 0)]), Given([ONE]))


class Batches:
    """Stands for ``keras.utils.PyDataset``."""

    def __init__(self, *sizes):
        self.ends, self.asked = np.cumsum(sizes), []

    def __len__(self):
        return len(self.ends)

    def __getitem__(self, at):
        self.asked.append(at)
        rows = np.arange(self.ends[at - 1] if at else 0, self.ends[at])
        return np.stack([rows, rows], axis=1).astype(float), rows % 3


@pytest.fixture
def py_datasets(monkeypatch):
    utils = type("utils", (), {"PyDataset": Batches})
    monkeypatch.setitem(sys.modules, "keras", type("keras", (), {"utils": utils}))


@pytest.mark.usefixtures("py_datasets")
def test_the_rows_of_batches_are_counted_through(load):
    given = Batches(4, 4, 4, 4, 4, 3)
    data = load(given, Batches(2), validation_fraction=0)
    assert (data.train.size, data.test.size) == (23, 2)
    index = np.array([22, 3, 8, 0, 21, 11])
    given.asked.clear()
    examples = data.train.take(index)
    assert examples.x[:, 0].tolist() == index.tolist()
    assert examples.y.tolist() == (index % 3).tolist()
    assert len(given.asked) == len(set(given.asked)) < 6  # each at most once; the last few are kept


@pytest.mark.usefixtures("py_datasets")
@pytest.mark.parametrize("size", [2, 6])
def test_a_batch_of_another_size_before_the_last_is_named(load, size):
    with pytest.raises(RequestError, match=f"batch 1: has {size} examples, the first 4; only the last one may be sho"):
        load(Batches(4, size, 4), Batches(2))
