"""The run's folder: whole files or none."""

from __future__ import annotations

import errno
import os

import pytest
from clocks import Clock

from nn_train.errors import StorageError
from nn_train.storage.folder import ResultsFolder


def test_files_are_listed_sorted_and_deleted_once_or_twice(tmp_path):
    folder = ResultsFolder(str(tmp_path), "run")
    assert folder.names("checkpoints") == []
    for name in ("b", "a"):
        folder.write(f"checkpoints/{name}", b"x")
    assert folder.names("checkpoints") == ["a", "b"]
    folder.delete("checkpoints/a")
    folder.delete("checkpoints/a")
    assert folder.names("checkpoints") == ["b"]
    folder.clear()
    assert not folder.exists()


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe"])
def test_damaged_json_is_one_message(tmp_path, content):
    folder = ResultsFolder(str(tmp_path), "run")
    folder.write("result.json", content)
    with pytest.raises(StorageError, match=r"run/result\.json is damaged"):
        folder.read_json("result.json")


def test_a_folder_is_named_by_path_or_uri(tmp_path):
    ResultsFolder(str(tmp_path), "run").write("best/one/a.txt", b"x")
    for place in (f"{tmp_path}/run/", (tmp_path / "run").as_uri()):
        folder = ResultsFolder(place)
        assert (folder.location, folder.name, folder.parent_name) == (f"{tmp_path}/run", "run", tmp_path.name)
        assert folder.is_local
        assert folder.folders("best") == ["one"]
        assert folder.names("best") == folder.folders("none") == []


@pytest.fixture
def disk(monkeypatch):
    """A disk on which writing fails: ``disk(code, times)``. Gives the seconds that were waited."""
    clock = Clock()
    monkeypatch.setattr("nn_train.storage.retry.time", clock)
    whole = os.fsync

    def fail(code, times):
        left = [times]

        def fsync(descriptor):
            if left[0]:
                left[0] -= 1
                raise OSError(code, os.strerror(code))
            whole(descriptor)

        monkeypatch.setattr("nn_train.storage.atomic.os.fsync", fsync)
        return clock.pauses

    return fail


def test_a_disk_that_is_full_for_a_moment_is_waited_for(tmp_path, disk):
    waited = disk(errno.ENOSPC, times=3)
    folder = ResultsFolder(str(tmp_path), "run")
    folder.write("metrics.jsonl", b"new")
    assert folder.read("metrics.jsonl") == b"new"
    assert waited == [1, 2, 4]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize(("code", "tries"), [(errno.ENOSPC, 8), (errno.EROFS, 8), (errno.EACCES, 1)])
def test_a_disk_that_stays_full_or_is_read_only_is_one_message_and_leaves_the_old_content(tmp_path, disk, code, tries):
    folder = ResultsFolder(str(tmp_path), "run")
    folder.write("config.yaml", b"")
    folder.write("epoch.ckpt", b"old")
    waited = disk(code, times=99)
    with pytest.raises(StorageError, match=rf"run/epoch\.ckpt cannot be written: {os.strerror(code)}"):
        folder.write("epoch.ckpt", b"new")
    assert len(waited) == tries - 1
    assert folder.read("epoch.ckpt") == b"old"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.yaml", "epoch.ckpt"]


def test_a_run_that_is_gone_is_waited_for_and_not_made_anew(tmp_path, disk):
    waited = disk(errno.EIO, times=0)
    writer, reader, expecting = (ResultsFolder(str(tmp_path), "run") for _ in range(3))
    writer.write("config.yaml", b"x")
    assert reader.exists("config.yaml")
    expecting.expect()
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    places = [writer, reader, expecting, writer.inside("trials/one")]
    for folder in places:
        with pytest.raises(StorageError, match=r"a\.txt cannot be written: its folder .* is gone.*; tried for \d+ s"):
            folder.write("a.txt", b"y")
    assert len(waited) == 7 * len(places)
    assert not (tmp_path / "run").exists()
    (tmp_path / "run" / "trials").mkdir(parents=True)  # others make folders there
    with pytest.raises(StorageError, match="is gone"):
        places[-1].write("a.txt", b"y")
    (tmp_path / "run" / "trials").rmdir()
    (tmp_path / "run").rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / "run")
    places[-1].write("a.txt", b"y")
    assert reader.read("trials/one/a.txt") == b"y"


def test_what_a_killed_process_was_writing_is_swept_away_and_nothing_else(tmp_path):
    folder = ResultsFolder(str(tmp_path), "run")
    for name in ("notes.part", "a.ckpt", "a.ckpt.0123abcd.part"):
        folder.write(f"checkpoints/{name}", b"x")
    folder.sweep("checkpoints")
    folder.sweep("nowhere")
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["a.ckpt", "notes.part"]
