"""What is written to a folder line by line, what makes it one that must be there, and who is looked at."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.lease import is_alive, machine, started


def test_lines_and_files_are_written_as_they_are(tmp_path):
    folder, source = ResultsFolder(str(tmp_path), "run"), tmp_path / "source"
    folder.write_lines("metrics.jsonl", [{"loss": 1}, {"loss": 0.5}])
    assert folder.read("metrics.jsonl") == b'{"loss": 1}\n{"loss": 0.5}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_lines("metrics.jsonl", [{"loss": float("nan")}])
    source.write_bytes(b"bytes")
    folder.write_file("copy", source)
    assert folder.read("copy") == b"bytes"
    folder.write("result.json", b'{"epochs": 3}')
    assert (folder.read_json("result.json"), folder.read_json("other.json")) == ({"epochs": 3}, None)
    assert [folder.is_empty(), ResultsFolder(str(tmp_path), "new").is_empty()] == [False, True]
    assert not folder.exists("other")


def test_a_folder_with_a_config_is_not_made_anew_when_it_is_gone(tmp_path):
    folder = ResultsFolder(str(tmp_path), "run")
    folder.write("other", b"")
    assert folder.exists("other")
    assert not folder.exists(layout.CONFIG)
    assert folder.needs is None
    folder.write(layout.CONFIG, b"")
    assert folder.exists(layout.CONFIG)
    assert folder.needs == f"{tmp_path}/run/{layout.CONFIG}"


def test_a_process_that_is_looked_at_does_not_notice():
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as process:
        process.stdout.readline()
        known = {"machine": machine(), "pid": process.pid, "started": started(process.pid)}
        assert is_alive(known)
        assert [is_alive({**known, part: None}) for part in known] == [None, None, None]
        process.communicate(b"\n")
        assert process.returncode == 0
    assert is_alive(known) is False
