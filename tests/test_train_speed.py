"""``python -m benchmarks.train_speed``: what is compared with what, and which epochs count."""

from __future__ import annotations

import json

import pytest

from benchmarks.train_cases import EPOCHS, Case
from benchmarks.train_speed import DDP, PAIRS, ROUNDS, TUTORIAL, Pair, chosen, compared, process_of, seconds, turns_of

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


def test_one_bad_turn_counts_as_one_and_each_round_is_told_by_itself():
    rounds = [[(1.0, 1.0)] * 4 + [(1.0, 9.0)]] + [[(1.0, 2.0)] * 4 + [(9.0, 2.0)]] * (ROUNDS - 1)
    row = compared(PAIRS[0], [turn for turns in rounds for turn in turns])
    assert (row["case"], row["than"]) == (PAIRS[0].case.name, TUTORIAL.name)
    assert (row["times"], row["rounds"]) == (2.0, [1.0, 2.0, 2.0])


def test_seconds_are_those_of_all_pairs_of_a_case():
    one, other = (pair for pair in PAIRS if pair.case.name.startswith("mlp, 2"))
    assert one.case == other.case
    of_case = {one.case.name: 2.0, one.than.name: 8.0, other.than.name: 9.0}
    assert seconds({one: [(1.0, 8.0), (2.0, 8.0)], other: [(3.0, 9.0)]}) == of_case


def test_pytorch_is_left_out_where_it_is_not(python, tmp_path, capsys):
    assert chosen([""], python("exit 0")) == list(PAIRS)
    assert capsys.readouterr().out == ""
    for other in (python("exit 1"), str(tmp_path / "nothing")):
        assert chosen([""], other) == [pair for pair in PAIRS if pair.than is not DDP]
        assert capsys.readouterr().out.startswith(f"{DDP.name}: left out, {other} has no PyTorch; --torch")


def test_pairs_are_chosen_by_their_names(python):
    assert {pair.case.model for pair in chosen(["cnn"], python("exit 1"))} == {"cnn"}
    assert [pair.than for pair in chosen(["DDP", "tutorial"], python("exit 0"))] == [TUTORIAL, DDP]
    with pytest.raises(SystemExit, match="--cases: no name holds rnn; there are mlp, 1 worker"):
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
    turns = turns_of(Pair(DDP, DDP, 1), python(f"{right} && {each}"))
    assert turns == [(10.0 * epoch + 0.5,) * 2 for epoch in range(2, EPOCHS + 1)]
    with pytest.raises(SystemExit, match=r"DDP.* failed:\nno gloo"):
        turns_of(Pair(DDP, DDP, 1), python("echo no gloo >&2; exit 1"))


@pytest.mark.tf
@pytest.mark.long
def test_two_workers_take_turns_with_two_processes_apart():
    workers, apart = (Case(engine, engine, "mlp", 2, 1, 6000) for engine in ("ours", "apart"))
    turns = turns_of(Pair(workers, apart, 1), "")
    assert len(turns) == EPOCHS - 1
    assert all(spent > 0 for turn in turns for spent in turn)
