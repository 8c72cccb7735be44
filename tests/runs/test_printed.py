"""What a worker prints is found in ``logs/`` of its run, whatever happens to it."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from nn_train.runs import printed
from nn_train.runs.printed import Printed
from nn_train.storage.folder import ResultsFolder

FILE = "logs/worker-1.txt"


@pytest.fixture
def folder(tmp_path):
    return ResultsFolder(str(tmp_path), "run")


def test_what_is_printed_is_kept_and_goes_on_to_where_it_went(folder, monkeypatch):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    noted = Printed(folder, 1)
    with noted.listening():
        print("one", end=", ")
        print("two", file=sys.stderr)
        logging.StreamHandler().emit(logging.makeLogRecord({"msg": "three"}))
        assert (sys.stdout.encoding, sys.stdout.isatty()) == (out.encoding, False)
    print("not this")
    noted.keep()
    assert folder.read(FILE).decode() == "one, two\n"
    assert out.getvalue() == "one, not this\n"
    assert err.getvalue() == "two\nthree\n"


def test_a_worker_that_takes_the_place_of_another_goes_on_with_its_file(folder):
    for word in ("first", "second"):
        noted = Printed(folder, 1)
        noted.note(f"{word}\n")
        noted.keep()
        noted.note(f"more of the {word}\n")
        noted.keep()
    lines = ["first", "more of the first", "second", "more of the second"]
    assert folder.read(FILE).decode().splitlines() == lines


def test_of_much_the_last_is_kept(folder, monkeypatch):
    monkeypatch.setattr(printed, "LARGEST", 100)
    noted = Printed(folder, 1)
    for number in range(1000):
        noted.note(f"{number:09d}\n")
        assert noted.size <= 210
    noted.keep()
    assert folder.read(FILE).decode().splitlines() == [f"{number:09d}" for number in range(990, 1000)]
