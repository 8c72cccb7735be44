"""Rows of ``.npy`` files on a real S3 service: only those asked for travel; what fails for a moment is no matter."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest

from nn_train.config import DataConfig
from nn_train.datasets import load_data, load_test
from nn_train.errors import RequestError, StorageError, TrainingError
from nn_train.storage import retry


def arrays(count=600):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = generator.integers(0, 3, count)
    return {"x_train": images, "y_train": labels, "x_test": images[:50], "y_test": labels[:50]}


def put(s3, folder, files=None):
    for name, array in (files or {**arrays(), "class_names": np.array(["a", "b", "c"])}).items():
        content = io.BytesIO()
        np.save(content, array)
        s3.put(f"{folder}/{name}.npy", content.getvalue())
    return f"s3://bucket/{folder}"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(retry, "PATIENCE", 0.1)


def test_rows_of_a_bucket_are_those_of_the_arrays(s3):
    source, given = put(s3, "rows"), arrays()
    data = load_data(DataConfig(source=source, validation_fraction=0))
    s3.service.requests.clear()
    index = np.array([599, 3, 4, 5, 20])
    taken = data.train.take(index)
    np.testing.assert_array_equal(taken.x[..., 0], given["x_train"][index])
    np.testing.assert_array_equal(taken.y, given["y_train"][index])
    assert s3.service.requests.count("GET /bucket/rows/x_train.npy") == 3  # neighbours come together
    assert (data.num_classes, data.class_names, data.divisor) == (3, ("a", "b", "c"), 255.0)
    assert load_test(DataConfig(source=source)).test.size == 50


def test_an_answer_503_that_stays_names_file_and_row(s3, impatient):
    source = put(s3, "staying")
    data = load_data(DataConfig(source=source, validation_fraction=0))
    s3.service.refused, s3.service.left = "staying/x_train", np.inf
    try:
        with pytest.raises(
            StorageError, match=rf"^data\.source: {source}/x_train\.npy cannot be read from row 7 on: .*503"
        ):
            data.train.take(np.array([7]))
    finally:
        s3.service.refused = None


def test_what_is_missing_or_changed_is_named(s3):
    source = put(s3, "changing")
    data = load_data(DataConfig(source=source))
    put(s3, "changing", {"y_train": np.zeros(700, np.int64)})
    with pytest.raises(TrainingError, match=r"^data\.source: y_train\.npy changed since the run began"):
        data.train.check_unchanged()
    s3.put("lacking/x_train.npy", b"")
    with pytest.raises(RequestError, match=re.escape("s3://bucket/lacking lacks y_train.npy, x_test.npy, y_test.npy")):
        load_data(DataConfig(source="s3://bucket/lacking"))
    with pytest.raises(RequestError, match=r"^data\.source: s3://bucket/nowhere"):
        load_data(DataConfig(source="s3://bucket/nowhere"))
