"""``python -m benchmarks.train_speed``: what is compared with what, and which epochs count."""

from __future__ import annotations

import json

import pytest

from benchmarks.train_cases import EPOCHS, Case
from benchmarks.train_speed import CASES, ROUNDS, chosen, compared, process_of, turns_of

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


def test_cases_are_compared_turn_by_turn_where_both_were_measured():
    turns = ROUNDS * (EPOCHS - 1)
    seconds = {case: [number * 2.0**turn for turn in range(turns)] for number, case in enumerate(CASES, 1)}
    assert [row["times"] for row in compared(seconds)] == [1 / 2, 4 / 3, 5 / 3, 6 / 7, 8 / 7]
    rows = compared({case: times for case, times in seconds.items() if case.model == "cnn"})
    assert [(row["case"][:13], row["than"][:18], row["target"]) for row in rows] == [
        ("cnn, 2 worker", "cnn, 1 worker of 1", 1.75),
        ("cnn, 2 worker", "cnn, 2 processes a", 0.95),
    ]


def test_one_bad_turn_counts_as_one_and_each_round_is_told_by_itself():
    times = [1.0, 1.0, 1.0, 1.0, 9.0] + [2.0, 2.0, 2.0, 2.0, 9.0] * (ROUNDS - 1)
    row = compared({CASES[0]: times, CASES[1]: [1.0] * len(times)})[0]
    assert (row["times"], row["rounds"]) == (2.0, [1.0, 2.0, 2.0])


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
    _, environment = process_of(Case("", engine, "mlp", 2, 1, 128), 1, ADDRESSES, "")
    assert json.loads(environment["TF_CONFIG"]) == {
        "cluster": {"worker": workers},
        "task": {"type": "worker", "index": len(workers) - 1},
    }


def test_pytorch_runs_in_its_own_python_and_the_first_epoch_is_left_out(python):
    right = f'test -f "$2" && test "$WORLD_SIZE,$MASTER_ADDR,$3,$4" = 2,127.0.0.1,128,{EPOCHS}'
    each = "n=0; while read line; do n=$((n + 1)); echo $n$RANK; done"  # the epoch, then the rank
    turns = list(turns_of([DDP], python(f"{right} && {each}")))
    assert turns == [{DDP: 10.0 * epoch + 0.5} for epoch in range(2, EPOCHS + 1)]
    with pytest.raises(SystemExit, match=r"DDP.* failed:\nno gloo"):
        next(turns_of([DDP], python("echo no gloo >&2; exit 1")))


@pytest.mark.tf
@pytest.mark.long
def test_two_processes_apart_take_turns_with_two_workers():
    cases = [Case(engine, engine, "mlp", 2, 1, 6000) for engine in ("ours", "apart")]
    turns = list(turns_of(cases, ""))
    assert len(turns) == EPOCHS - 1
    assert all(turn[case] > 0 for turn in turns for case in cases)
