"""The run's folder: whole files or none."""

from __future__ import annotations

import pytest

from nn_train.errors import RequestError, StorageError
from nn_train.runs import RunFolder


def test_a_write_that_fails_leaves_the_old_content(tmp_path, monkeypatch):
    folder = RunFolder(str(tmp_path), "run")
    folder.write("a.txt", b"old")

    def refuse(source, target):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(StorageError, match=r"run/a.txt cannot be written: disk full$"):
        folder.write("a.txt", b"new")
    assert folder.read("a.txt") == b"old"
    assert folder.names("") == ["a.txt"]


def test_files_are_listed_sorted_and_deleted_once_or_twice(tmp_path):
    folder = RunFolder(str(tmp_path), "run")
    assert folder.names("checkpoints") == []
    for name in ("b", "a"):
        folder.write(f"checkpoints/{name}", b"x")
    assert folder.names("checkpoints") == ["a", "b"]
    folder.delete("checkpoints/a")
    folder.delete("checkpoints/a")
    assert folder.names("checkpoints") == ["b"]
    folder.clear()
    assert not folder.exists()


def test_json_refuses_what_is_no_json(tmp_path):
    folder = RunFolder(str(tmp_path), "run")
    with pytest.raises(ValueError, match="JSON"):
        folder.write_json("x.json", {"loss": float("nan")})
    assert folder.read_json("x.json") is None


def test_what_is_not_there_is_no_failure_of_the_storage(tmp_path):
    folder = RunFolder(str(tmp_path))
    folder.write("a.txt", b"x")
    for place, name in ((folder, "b.txt"), (RunFolder(str(tmp_path / "a.txt")), "b.txt")):
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            place.read(name)
    with pytest.raises(StorageError, match=r"a.txt/b.txt cannot be written: "):
        RunFolder(str(tmp_path / "a.txt")).write("b.txt", b"x")


def test_a_folder_is_named_by_path_or_uri(tmp_path):
    RunFolder(str(tmp_path), "run").write("best/one/a.txt", b"x")
    for place in (f"{tmp_path}/run/", (tmp_path / "run").as_uri()):
        folder = RunFolder(place)
        assert (folder.location, folder.name, folder.parent_name) == (f"{tmp_path}/run", "run", tmp_path.name)
        assert folder.is_local
        assert folder.folders("best") == ["one"]
        assert folder.names("best") == folder.folders("none") == []


def test_a_uri_that_cannot_be_used_names_the_setting():
    with pytest.raises(RequestError, match=r"^--runs: gopher://x/run cannot be used: "):
        RunFolder("gopher://x/run", field="--runs")
    with pytest.raises(RequestError, match=r"^--runs: the URI holds credentials"):
        RunFolder("s3://KEY:SECRET@bucket/run", field="--runs")
