"""Parquet files on a real S3 service: their rows are made here once, and what fails for a moment is no matter."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nn_train.config import DataConfig
from nn_train.datasets import load_data, load_test
from nn_train.storage import retry


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(retry, "PATIENCE", 0.1)


def put(s3, folder):
    for name, count in {"train-0": 40, "train-1": 30, "test": 9}.items():
        content = io.BytesIO()
        pq.write_table(pa.table({"a": np.arange(count) / 7, "y": np.arange(count) % 4}), content, row_group_size=16)
        s3.put(f"{folder}/{name}.parquet", content.getvalue())
    return DataConfig(source=f"s3://bucket/{folder}", validation_fraction=0)


def test_the_rows_are_read_once_although_the_service_answers_503_for_a_moment(s3):
    config = put(s3, "passing")
    s3.service.refused, s3.service.left = "passing/train-1", 4
    try:
        data = load_data(config)
    finally:
        s3.service.refused = None
    assert s3.service.left == 0
    taken = data.train.take(np.array([69, 0, 40]))
    np.testing.assert_array_equal(taken.x[:, 0], np.array([29 / 7, 0, 0], np.float32))
    assert (taken.y.tolist(), data.train.size, load_test(config).test.size) == ([1, 0, 0], 70, 9)
    s3.service.requests.clear()
    load_data(config)
    assert not [request for request in s3.service.requests if request.endswith(".parquet")]  # listed, not read
