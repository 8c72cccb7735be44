"""``python -m benchmarks.train_speed``: what is compared with what, and which epochs count."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from benchmarks.train_cases import Case
from benchmarks.train_speed import CASES, chosen, compared, measure, process_of, seconds_together
from nn_train.engine.addresses import free_addresses

DDP = next(case for case in CASES if case.engine == "ddp")
ADDRESSES = ["127.0.0.1:4001", "127.0.0.1:4002"]


@pytest.fixture
def python(tmp_path):
    """Makes a program that is called as a Python with PyTorch is, and does this."""

    def make(script):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return str(program)

    return make


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([[(0, 5), (5, 7), (7, 10)], [(0, 5), (5, 8), (8, 10)]], [2, 3, 3, 2]),
        ([[(0, 5), (5, 7), (7, 10)], [(6, 8), (8, 9), (9, 12)]], [3, 1]),  # the second began later and ended later
        ([[(0, 5), (5, 7), (7, 10)], [(1, 2), (2, 3), (3, 4)]], [1, 1]),  # it trained within the first's first epoch
        ([[(0, 2), (2, 3)], [(4, 5), (5, 6)]], []),
    ],
)
def test_only_epochs_count_in_which_both_processes_trained(spans, seconds):
    assert seconds_together(spans) == seconds


def test_cases_are_compared_where_both_were_measured():
    seconds = dict.fromkeys(CASES, 2.0)
    assert {row["times"] for row in compared(seconds)} == {1.0}
    of_cnn = {case: second for case, second in zip(CASES, range(1, 9), strict=True) if case.model == "cnn"}
    rows = compared(of_cnn)
    assert [(row["case"][:13], row["than"][:18], row["target"]) for row in rows] == [
        ("cnn, 2 worker", "cnn, 1 worker of 1", 1.75),
        ("cnn, 2 worker", "cnn, 2 processes a", 0.95),
    ]
    assert [row["times"] for row in rows] == [6 / 7, 8 / 7]


def test_pytorch_is_left_out_where_it_is_not(python, tmp_path, capsys):
    assert DDP in chosen([""], python("exit 0"))
    assert capsys.readouterr().out == ""
    for other in (python("exit 1"), str(tmp_path / "nothing")):
        assert chosen([""], other) == [case for case in CASES if case is not DDP]
        assert capsys.readouterr().out.startswith(f"{DDP.name}: left out, {other} has no PyTorch; --torch")


def test_cases_are_chosen_by_their_names(python):
    assert {case.model for case in chosen(["cnn"], python("exit 1"))} == {"cnn"}
    assert chosen(["DDP", "tutorial"], python("exit 0")) == [CASES[0], DDP]
    with pytest.raises(SystemExit, match="--cases: no name holds rnn; there are mlp, tutorial"):
        chosen(["rnn"], python("exit 0"))


@pytest.mark.parametrize(("engine", "workers"), [("ours", ADDRESSES), ("legacy", ADDRESSES), ("apart", ADDRESSES[1:])])
def test_processes_apart_have_no_strategy_in_common(engine, workers):
    _, environment = process_of(Case("", engine, "mlp", 2, 1, 128, 2), 1, ADDRESSES, "")
    assert json.loads(environment["TF_CONFIG"]) == {
        "cluster": {"worker": workers},
        "task": {"type": "worker", "index": len(workers) - 1},
    }


def test_pytorch_runs_in_its_own_python_and_the_first_epoch_is_left_out(python):
    says = 'test -f "$2" && test "$WORLD_SIZE,$MASTER_ADDR,$3,$4" = 2,127.0.0.1,128,5 && echo "[[0, 9], [9, 1$RANK]]"'
    assert measure(DDP, python(says)) == [1]
    with pytest.raises(SystemExit, match=r"DDP.* failed:\nno gloo"):
        measure(DDP, python("echo no gloo >&2; exit 1"))


@pytest.mark.tf
@pytest.mark.long
def test_a_process_apart_trains_alone_on_its_part():
    case = Case("", "apart", "mlp", 2, 1, 6000, 2)
    command, environment = process_of(case, 1, free_addresses("127.0.0.1", 2), "")
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    (began, between), (then, ended) = json.loads(done.stdout.splitlines()[-1])
    assert began < between <= then < ended
