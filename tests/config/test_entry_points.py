"""The user's own code by name: what it is offered, and what is said when it is not there."""

from __future__ import annotations

import pytest

from nn_train.config.entry_points import call_entry_point
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
