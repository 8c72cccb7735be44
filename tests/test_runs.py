"""The run's folder: whole files or none."""

from __future__ import annotations

import pytest

from nn_train.runs import RunFolder


def test_a_write_that_fails_leaves_the_old_content(tmp_path, monkeypatch):
    folder = RunFolder(str(tmp_path), "run")
    folder.write("a.txt", b"old")

    def refuse(source, target):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
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
