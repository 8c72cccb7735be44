"""The user's own code by name: what it is offered, and what is said when it is not there."""

from __future__ import annotations

import pytest

from nn_train.config.entry_points import call_entry_point, check_function
from nn_train.errors import RequestError, TrainingError


def test_a_function_gets_what_its_signature_names(tmp_path, monkeypatch):
    code = "def two(b):\n    return b\ndef all(**offered):\n    return sorted(offered)\ndef none():\n    return 1\n"
    (tmp_path / "offered_things.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    assert call_entry_point("f", "offered_things:two", a=1, b=2) == 2
    assert call_entry_point("f", "offered_things:all", a=1, b=2) == ["a", "b"]
    assert call_entry_point("f", "offered_things:none", a=1, b=2) == 1


TAKES = """
def build(config, depth, width=8, *, rate=0.1): return depth, width, rate
def any_of_them(config, **more): return more
def none(input_shape): return ()
def rebound(depth): return depth
rebound = functools.partial(rebound, depth=3)
def inner(depth): return depth
@functools.wraps(inner)
def wraps(*args, **more): return inner(depth=5)
"""


@pytest.fixture
def takes(tmp_path, monkeypatch):
    (tmp_path / "takes_things.py").write_text("import functools\n" + TAKES)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("function", "args", "said"),
    [
        ("build", {"depth": 4, "widht": 3}, r"^model.args.widht: takes_things:build .*; did you mean 'width'"),
        ("build", {}, "^model.args: .* needs depth; give --model.args.depth VALUE$"),
        ("buidl", {}, r"takes_things.py has no function 'buidl'; did you mean 'build'\?"),
    ],
)
def test_arguments_that_a_function_does_not_take_are_refused_when_it_is_checked_and_when_called(
    takes, function, args, said
):
    with pytest.raises(RequestError, match=said):
        check_function("model.name", f"takes_things:{function}", args)
    with pytest.raises(RequestError, match=said):
        call_entry_point("model.name", f"takes_things:{function}", args, config=1, input_shape=2)


@pytest.mark.parametrize(
    ("name", "args", "given"),
    [
        ("build", {"depth": 4, "rate": 0.5}, (4, 8, 0.5)),
        ("any_of_them", {"depth": 4}, {"depth": 4, "input_shape": 2}),
        ("none", {}, ()),
        ("rebound", {}, 3),
        ("wraps", {}, 5),
    ],
)
def test_arguments_are_given_by_name(takes, name, args, given):
    check_function("model.name", f"takes_things:{name}", args)
    assert call_entry_point("model.name", f"takes_things:{name}", args, config=1, input_shape=2) == given


def test_a_module_that_cannot_be_imported_is_told_with_the_users_traceback(tmp_path, monkeypatch):
    (tmp_path / "broken_things.py").write_text("def inner():\n    raise KeyError('gone')\n\n\ninner()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(TrainingError) as told:
        check_function("model.name", "broken_things:build")
    line, head, *frames, last = str(told.value).splitlines()
    assert line == "model.name: broken_things:build cannot be imported:"
    assert head == "Traceback (of this job's own code):"
    own = [one for one in frames if one.startswith("  File") and __file__ not in one]
    assert own[0].startswith(f'  File "{tmp_path}/broken_things.py", line 5')
    assert last == "KeyError: 'gone'"


@pytest.mark.parametrize("name", ["broken_things:build", "not_there_at_all:build"])
def test_what_cannot_be_imported_here_is_left_to_the_workers_of_a_cluster(tmp_path, monkeypatch, name):
    (tmp_path / "broken_things.py").write_text("raise KeyError('gone')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # whose machines may have other files
    check_function("model.name", name)
    with pytest.raises(RequestError, match="was defined in a session or script that is not this one"):
        check_function("model.name", "__main__:gone")
