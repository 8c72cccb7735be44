"""A run's folder on S3: what it does there, and what is said when the service fails."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest

from nn_train.config import DataConfig
from nn_train.datasets import load_data
from nn_train.errors import RequestError, StorageError
from nn_train.storage.folder import ResultsFolder


def test_files_are_written_listed_read_and_deleted(s3):
    folder = ResultsFolder("s3://bucket/folders", "run")
    assert folder.location == "s3://bucket/folders/run"
    assert (folder.name, folder.parent_name) == ("run", "folders")
    assert folder.is_empty()
    assert not folder.exists()
    assert folder.names("checkpoints") == []
    for name in ("checkpoints/b", "checkpoints/a", "best/x/config.yaml"):
        folder.write(name, name.encode())
    assert folder.names("checkpoints") == ["a", "b"]
    assert folder.folders("") == ["best", "checkpoints"]
    assert folder.exists("best")
    assert pickle.loads(pickle.dumps(folder)).read("checkpoints/a") == b"checkpoints/a"
    with pytest.raises(FileNotFoundError):
        folder.read("checkpoints/c")
    for _ in range(2):
        folder.delete("checkpoints/a")
    assert folder.names("checkpoints") == ["b"]
    folder.clear()
    assert folder.is_empty()


def test_the_service_may_be_named_in_the_uri(s3, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    folder = ResultsFolder(f"s3://bucket/options/?scheme=http&endpoint_override={s3.endpoint}", "run")
    folder.write("a", b"x")
    assert s3.objects("options") == {"options/run/a": b"x"}
    assert ResultsFolder(folder.location).read("a") == b"x"
    assert folder.path("a").startswith("s3://bucket/options/run/a?scheme=http&")


def test_a_bucket_that_is_not_there_is_a_wrong_request(s3):
    with pytest.raises(RequestError, match=r"^run.storage_path: there is no bucket 'nowhere'"):
        ResultsFolder("s3://nowhere/results", "run").is_empty()


def test_data_on_s3(s3):
    arrays = {"x_train": np.zeros((9, 2), np.float32), "y_train": np.arange(9) % 3}
    arrays |= {"x_test": np.ones((3, 2), np.float32), "y_test": np.arange(3)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    data = load_data(DataConfig(source=s3.put("data/small.npz", buffer.getvalue())))
    assert data.num_classes == 3
    np.testing.assert_array_equal(data.test.x, arrays["x_test"])
    with pytest.raises(RequestError, match=r"^data.source: s3://bucket/data/none.npz cannot be read: .*not exist"):
        load_data(DataConfig(source="s3://bucket/data/none.npz"))


def test_a_refusal_is_one_line_and_shows_no_credentials(answers):
    answers(lambda number: 403)
    with pytest.raises(StorageError, match=r"cannot be read: .*ACCESS_DENIED") as caught:
        ResultsFolder("s3://bucket/results", "run").exists("config.yaml")
    for secret in ("AKIAKEY", "SecretOf"):
        assert secret not in str(caught.value)
