"""``python -m benchmarks.gpu_check``: its parts, and the whole of it on a processor, as nobody here has a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clocks import Clock

from benchmarks import gpu_check
from benchmarks.gpu.bench import Bench, Plan
from benchmarks.gpu.rows import (
    FAILED,
    NOT_APPLICABLE,
    OK,
    CheckError,
    Deadline,
    NotApplicableError,
    rows_of,
)

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "benchmarks.gpu_check"]
FLOORS = {"mnist_mlp": 0.9, "mnist_cnn": 0.9}
GPU = Plan(gpu=True, examples=None, epochs=2, floors=FLOORS, seconds=60.0)
CPU = Plan(gpu=False, examples=None, epochs=2, floors=FLOORS, seconds=60.0)


def raising(error):
    def check():
        raise error

    return check


@pytest.mark.parametrize(
    ("check", "outcome", "said"),
    [
        (lambda: {"examples/s": 27513.4, "val_accuracy": 0.97812}, OK, "examples/s 27,513, val_accuracy 0.9781"),
        (raising(CheckError("too slow", ["a", "b"])), FAILED, "too slow"),
        (raising(NotApplicableError("one card")), NOT_APPLICABLE, "one card"),
        (raising(KeyError("loss")), FAILED, "KeyError: 'loss'"),
    ],
)
def test_each_check_gives_a_row_and_the_others_go_on(check, outcome, said):
    clock = Clock()
    rows = list(rows_of([("first", check), ("slow", lambda: clock.sleep(7) or {})], Deadline(60, clock.monotonic)))
    assert [row.outcome for row in rows] == [outcome, OK]
    assert [row.seconds for row in rows] == [0, 7]
    assert said in rows[0].line()
    assert bool(rows[0].output) == (outcome == FAILED)


@pytest.fixture
def bench(tmp_path):
    """``bench(plan, gpus, clock)``: one that has a minute."""

    def make(plan=CPU, gpus=0, **clock):
        return Bench(plan, gpus, tmp_path, Deadline(60, **clock))

    return make


def test_a_job_that_fails_hands_on_its_last_lines(bench):
    with pytest.raises(CheckError, match=r"^mine ended with code 3$") as caught:
        bench().job("mine", "-c", "print(*range(90), sep='\\n'); raise SystemExit(3)")
    assert caught.value.output == [str(number) for number in range(30, 90)]


SEEN = {"versions": {"tensorflow": "2.21.0"}, "gpus": [{"device_name": "NVIDIA L4"}], "nvidia_smi": ["NVIDIA L4"]}


def test_an_interrupt_leaves_what_was_found_so_far(tmp_path, monkeypatch, capsys):
    checks = [("first", lambda: {"speed": 7}), ("second", raising(KeyboardInterrupt())), ("third", dict)]
    monkeypatch.setattr(gpu_check, "look", lambda: SEEN)
    monkeypatch.setattr(gpu_check, "checks", lambda bench, machine: checks)
    assert gpu_check.main(["--json", str(tmp_path / "it.json")]) == 130
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].split() == ["first", "ok", "0.0", "s", "speed", "7"]
    assert lines[1].startswith("interrupted; 1 checks")
    written = json.loads((tmp_path / "it.json").read_text())
    assert written["ok"] is False
    assert [row["name"] for row in written["rows"]] == ["first"]


@pytest.mark.e2e
def test_without_a_gpu_it_says_so_in_a_line_and_ends_with_2(tmp_path):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    words = ["--json", str(tmp_path / "it.json")]
    done = subprocess.run([*COMMAND, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("no GPU: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.limit(1300)
def test_all_checks_pass_on_a_processor(tmp_path):
    words = ["--device", "cpu", "--json", str(tmp_path / "it.json")]
    done = subprocess.run([*COMMAND, *words], cwd=ROOT, capture_output=True, text=True, timeout=1250)
    written = json.loads((tmp_path / "it.json").read_text())
    rows = {row["name"]: row for row in written["rows"]}
    wrong = {name: row for name, row in rows.items() if row["outcome"] not in (OK, NOT_APPLICABLE)}
    assert not wrong, done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    with_nccl = ["two workers, a card each, NCCL", "two workers, NCCL, in two parts"]
    assert [name for name, row in rows.items() if row["outcome"] != OK] == with_nccl
    assert len(rows) == 13
    killed = rows["killed, and continued"]["measured"]
    assert killed["went on"].startswith("after epoch ")
    assert killed["val_accuracy differs by"] == killed["loss by the share"] == 0
    assert rows["two workers, half a card each"]["measured"]["loss by the share"] < 1e-3
    assert rows["mnist_cnn, XLA"]["measured"]["clusters compiled"] > 0
