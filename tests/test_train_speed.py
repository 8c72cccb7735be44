"""``python -m benchmarks.train_speed``: what is compared with what, and which epochs count."""

from __future__ import annotations

import pytest

from benchmarks.train_cases import EPOCHS, Case
from benchmarks.train_speed import DDP, PAIRS, ROUNDS, TUTORIAL, Pair, compared, turns_of

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
