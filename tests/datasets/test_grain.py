"""Sources of Grain's, the real ones: objects with an index as any others."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import user_data

from nn_train.config import DataConfig
from nn_train.datasets import IndexedExamples, load_data
from nn_train.errors import RequestError

grain = pytest.importorskip("grain", reason="needs Grain, which the extra dev brings")


@pytest.fixture
def array_records(tmp_path, monkeypatch):
    """The folder of the module ``array_records`` and its files."""
    user_data.save_array_records(tmp_path, user_data.images())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "array_records", raising=False)
    yield tmp_path
    sys.modules.pop("array_records", None)


def load(source):
    return load_data(DataConfig(source=source))


def assert_same_examples(data, memory):
    assert (data.num_classes, data.divisor) == (memory.num_classes, memory.divisor)
    for name in ("train", "validation", "test"):
        part, expected = getattr(data, name), getattr(memory, name)
        assert isinstance(part, IndexedExamples)
        index = np.random.default_rng(1).integers(0, part.size, 3 * part.size)
        for one, other in zip(part.take(index).parts, expected.take(index).parts, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_a_map_dataset_of_arrays_gives_the_examples_of_these():
    assert_same_examples(load("user_data:grain_objects"), load("user_data:arrays"))


@pytest.mark.usefixtures("array_records")
def test_array_records_are_read_by_the_code_that_the_documentation_shows():
    assert_same_examples(load("array_records:load"), load("user_data:images"))


def test_records_that_nothing_parses_are_named(array_records, monkeypatch):
    source = grain.sources.ArrayRecordDataSource(str(array_records / "train.array_record"))
    monkeypatch.setattr(user_data, "unparsed", lambda: (source, source), raising=False)
    with pytest.raises(RequestError, match=r"unparsed: the train part, example 0: is bytes; expected \(x, y\) or"):
        load("user_data:unparsed")


def test_an_example_that_a_filter_leaves_out_is_named(monkeypatch):
    part = user_data.grain_objects()[0]
    filtered = part.filter(lambda pair: pair[0][0] != part[7][0][0])
    monkeypatch.setattr(user_data, "filtered", lambda: (filtered, part), raising=False)
    data = load_data(DataConfig(source="user_data:filtered", validation_fraction=0))
    assert data.train.take(np.array([6])).x.shape == (1, 6)
    with pytest.raises(RequestError, match=r"the train part, example 7: is NoneType; expected \(x, y\) or"):
        data.train.take(np.array([6, 7]))
