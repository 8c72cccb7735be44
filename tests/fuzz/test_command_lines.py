"""Command lines with mistakes of every kind, given to the three jobs."""

from __future__ import annotations

import pytest
from mutations import command_line
from outcomes import TRAINING, Tally, quarters

from nn_train.config.entry_points import call_entry_point
from nn_train.config.options import is_entry_point
from nn_train.config.parse import field_types
from nn_train.errors import RequestError
from nn_train.prediction.arguments import SCALING

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


@pytest.mark.parametrize("numbers", quarters(600))
def test_a_mutated_line_of_an_evaluation_is_refused_in_one_line(elsewhere, monkeypatch, numbers):
    monkeypatch.setattr("nn_train.storage.retry.PATIENCE", 0)
    fields, tally = ["runs", "output", *(f"scaling.{name}" for name in SCALING)], Tally()
    for number in numbers:
        words = ["--runs", "one", "two", "--output", "report", *command_line(number, fields)]
        tally.add(f"evaluate, command_line({number}) = {[word[:200] for word in words]}", "evaluate", words)
    tally.check()
    assert not tally.taken, "there are no runs"
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", ""], "--config : cannot be read"),
        (["--config="], "--config : cannot be read"),
        (["--config", "a\0b"], "embedded null byte"),
        (["--config", "."], "Is a directory"),
        (["--config", "/dev/zero"], "larger than 256 kB"),
        (["--"], "no such field"),
        (["--=x"], "no such field"),
        (["-"], "unexpected"),
        ([""], "unexpected"),
        (["--verbose=true"], "did you mean 'verbose'"),
        (["--train.epochs="], "'' is not a whole number"),
        (["--train.epochs", "9" * 5000], "is not a whole number"),
        (["--train.epochs", "9223372036854775808"], "train.epochs: the number is too large; it must fit 64 bits"),
        (["--model.l2", "1e400"], "model.l2: inf is out of range"),
        (["--data.source", "/dev/zero"], "it is a folder or a device"),
        (["--data.source", "./"], "lacks x_train.npy, y_train.npy, x_test.npy, y_test.npy"),
        (["--data.source", "\udcff/x.npz"], "not a text"),
        (["--model.name", "x" * 100_000], " … "),
        (["--train.ep\x1b[31mochs", "1"], r"train.ep\\x1b\[31mochs: no such field"),
    ],
)
def test_what_is_no_command_line_is_said(words, said):
    Tally(refused=said).add(words, "train", words).check()


@pytest.mark.parametrize("field", ["run.storage_path", "data.source", "search.metric"])
@pytest.mark.parametrize("text", ["a\0b", "\x1b[2J", "a\nb", "a\udcff", "", " "])
def test_no_setting_takes_a_text_that_no_file_can_repeat(field, text):
    Tally(refused=f"{field}: .* is not a text").add((field, text), "tune", [f"--{field}", text]).check()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sys:nope", "the module sys has no function 'nope'"),
        ("json:decoder", "no function 'decoder'"),
        ("builtins:dict", "builtins:dict is built into Python; name a function written in Python"),
        ("os.:getcwd", "no module"),
        ("os..path:join", "no module"),
        ("json.loads:x", "no module"),
        ("x" * 3000 + ":f", "no module"),
        ("not_there." * 20 + "x:f", "no module 'not_there'"),
    ],
)
def test_an_entry_point_that_is_none_is_said(name, said):
    assert is_entry_point(name)
    with pytest.raises(RequestError, match=rf"^model.name: .*{said}"):
        call_entry_point("model.name", name)
