"""Command lines of jobs.evaluate with mistakes of every kind, where there is nothing to evaluate."""

from __future__ import annotations

import contextlib
import io
import random
import traceback

import pytest
from mutations import LONG, NUMBERS, RAW, SEED, WORDS
from outcomes import TooLong, fault, quarters, time_limit

from nn_train.jobs.evaluate import main
from nn_train.prediction.arguments import SCALING

CASES = 1000
OPTIONS = [
    "--runs",
    "--output",
    "--verbose",
    "--run",
    "--outputs",
    "--",
    "-",
    *(f"--scaling.{name}" for name in SCALING),
]
VALUES = [
    *NUMBERS,
    *WORDS,
    *LONG,
    *RAW,
    "s3://key:secret@bucket/run",
    "gopher://x",
    "results/*",
    ".",
    "file:///",
    "report",
]


def evaluate_line(number: int) -> list[str]:
    """Command line ``number``."""
    draw = random.Random(f"{SEED} evaluate line {number}")
    right = ["--runs", "one", "two", "--output", "report", "--scaling.num_workers", "1"]
    for _ in range(draw.choice((1, 2, 3))):
        place = draw.randrange(len(right) + 1)
        right[place : place + draw.choice((0, 1))] = [draw.choice(OPTIONS if draw.random() < 0.4 else VALUES)]
    return right


@pytest.mark.parametrize("numbers", quarters(CASES))
def test_a_mutated_line_is_refused_in_one_line_and_leaves_nothing(elsewhere, monkeypatch, numbers):
    monkeypatch.setattr("nn_train.storage.retry.PATIENCE", 0)
    faults = []
    for number in numbers:
        errors, words = io.StringIO(), evaluate_line(number)
        try:
            with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()), time_limit():
                code = main(words)
            problem = fault(code, errors.getvalue()) or ("" if code == 2 else "taken, though there are no runs")
        except (Exception, TooLong):
            problem = traceback.format_exc(limit=-4)
        if problem:
            faults.append(f"evaluate_line({number}) = {[word[:100] for word in words]}\n{problem}")
    assert not faults, "\n\n".join([f"{len(faults)} faults; the first:", *faults[:5]])
    assert list(elsewhere.iterdir()) == []
