"""Command lines with mistakes of every kind, given to the three jobs."""

from __future__ import annotations

import pytest
from mutations import command_line
from outcomes import TRAINING, Tally, quarters

from nn_train.config.parse import field_types

CASES = 1200


@pytest.mark.parametrize("numbers", quarters(CASES))
def test_a_mutated_command_line_is_taken_or_refused_in_one_line(elsewhere, numbers):
    fields, tally = list(field_types()), Tally()
    for number in numbers:
        words = command_line(number, fields)
        job = TRAINING[number % len(TRAINING)]
        tally.add(f"{job}, command_line({number}) = {[word[:200] for word in words]}", job, words)
    tally.check()
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "/dev/zero"], "larger than 256 kB"),
        ([""], "unexpected"),
        (["--model.l2", "1e400"], "model.l2: inf is out of range"),
        (["--model.name", "x" * 100_000], " … "),
        (["--train.ep\x1b[31mochs", "1"], r"train.ep\\x1b\[31mochs: no such field"),
    ],
)
def test_what_is_no_command_line_is_said(words, said):
    Tally(refused=said).add(words, "train", words).check()
