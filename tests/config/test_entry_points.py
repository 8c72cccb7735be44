"""The user's own code by name: what it is offered, and what is said when it is not there."""

from __future__ import annotations

import pytest

from nn_train.config.entry_points import call_entry_point, check_function
from nn_train.errors import RequestError


def test_a_function_gets_what_its_signature_names(tmp_path, monkeypatch):
    code = "def two(b):\n    return b\ndef all(**offered):\n    return sorted(offered)\ndef none():\n    return 1\n"
    (tmp_path / "offered_things.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    assert call_entry_point("f", "offered_things:two", a=1, b=2) == 2
    assert call_entry_point("f", "offered_things:all", a=1, b=2) == ["a", "b"]
    assert call_entry_point("f", "offered_things:none", a=1, b=2) == 1


@pytest.mark.parametrize(
    ("name", "said"), [("no_such_module:build", "no module"), ("json:no_such_function", "no function")]
)
def test_a_missing_name_is_a_request_error_that_names_the_field(name, said):
    with pytest.raises(RequestError, match=f"^model.name: .*{said}"):
        call_entry_point("model.name", name)


def test_an_error_inside_the_users_module_is_shown_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "imports_nothing_real.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        call_entry_point("model.name", "imports_nothing_real:build")


MODULE = """
import somewhere_else
from elsewhere import other as imported
raise SystemExit("is not imported")
try:
    import fast
except ImportError:
    def in_a_branch(): pass
def build(): pass
class Builder: pass
alias, second = build, Builder
annotated: object = build
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Modules in ``named_things`` that nobody can import."""
    folder = tmp_path / "named_things"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('is not imported')")
    (folder / "plain.py").write_text(MODULE)
    (folder / "dynamic.py").write_text("globals().update(made())")
    (folder / "registers.py").write_text("def register(): globals()['made'] = 1")
    (folder / "starred.py").write_text("from elsewhere import *")
    (folder / "broken.py").write_text("def :")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        *(f"plain:{name}" for name in ("build", "Builder", "alias", "second", "annotated", "imported", "in_a_branch")),
        *("dynamic:anything", "registers:made", "starred:anything", "broken:anything", "not_there:anything"),
    ],
)
def test_a_function_that_is_there_or_could_be_is_left_to_who_calls_it(package, name):
    check_function("model.name", f"named_things.{name}")


def test_a_function_that_its_module_does_not_have_is_refused_without_importing_it(package):
    with pytest.raises(RequestError, match=r"model.name: .*plain.py has no function 'buidl'; did you mean 'build'\?"):
        check_function("model.name", "named_things.plain:buidl")


TAKES = """
def build(config, depth, width=8, *, rate=0.1): return depth, width, rate
def any_of_them(config, **more): return more
def none(input_shape): return ()
@wrapped
def decorated(depth): pass
def rebound(depth): return depth
rebound = functools.partial(rebound, depth=3)
def inner(depth): return depth
@functools.wraps(inner)
def wraps(*args, **more): return inner(depth=5)
"""


@pytest.fixture
def takes(tmp_path, monkeypatch):
    (tmp_path / "takes_things.py").write_text("import functools\n" + TAKES.replace("@wrapped", "@staticmethod"))
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("function", "args", "said"),
    [
        ("build", {"depth": 4, "widht": 3}, r"^model.args.widht: takes_things:build .*; did you mean 'width'"),
        ("build", {"depth": 4, "unlike": 3}, "it takes: depth, width, rate$"),
        ("build", {}, "^model.args: .* needs depth; give --model.args.depth VALUE$"),
        ("none", {"depth": 4}, "it takes none$"),
    ],
)
def test_arguments_that_a_function_does_not_take_are_refused_before_it_is_imported_and_when_called(
    takes, function, args, said
):
    with pytest.raises(RequestError, match=said):
        check_function("model.name", f"takes_things:{function}", args)
    with pytest.raises(RequestError, match=said):
        call_entry_point("model.name", f"takes_things:{function}", args, config=1, input_shape=2)


def test_arguments_are_given_by_name(takes):
    for name, args, given in [
        ("build", {"depth": 4, "rate": 0.5}, (4, 8, 0.5)),
        ("any_of_them", {"depth": 4}, {"depth": 4, "input_shape": 2}),
        ("none", {}, ()),
        ("rebound", {}, 3),
        ("wraps", {}, 5),
    ]:
        check_function("model.name", f"takes_things:{name}", args)
        assert call_entry_point("model.name", f"takes_things:{name}", args, config=1, input_shape=2) == given
    check_function("model.name", "takes_things:decorated", {"whatever": 1})  # who knows what is behind it
    for look in (check_function, call_entry_point):
        with pytest.raises(RequestError, match=r"^--data: .* needs config, and is given nothing"):
            look("--data", "takes_things:build")
