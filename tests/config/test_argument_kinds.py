"""Values of own arguments that cannot be what the function says they are."""

from __future__ import annotations

import re

import pytest

from nn_train.config import config_from_dict
from nn_train.config.argument_kinds import check_kinds
from nn_train.errors import RequestError
from nn_train.runs.preflight import check_early
from nn_train.search.driver import check_search

SOURCE = """
from typing import Optional, Union
import typing
def build(config, depth: int, l2: float = 0.0, width: "int | None" = None, flag: bool = False, kind: str = "relu",
          sizes: list[int] = (), either: Union[int, str] = 3, maybe: Optional[float] = None, of_typing:
          typing.Optional[int] = None, own: Kind = 3, *, plain=1e-3, negative=-1, switch=True, text="a", free=None):
    ...
@decorated
def wrapped(depth: int): ...
"""


@pytest.fixture(autouse=True)
def source(tmp_path, monkeypatch):
    (tmp_path / "kinds_of_things.py").write_text(SOURCE + "\nraise SystemExit('is not imported')\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("name", "fitting", "others", "wanted"),
    [
        ("depth", [3, 3.0, True, None], ["three", "1e-3x", 2.5, [1]], "a whole number"),
        ("l2", [0.1, 1, None], ["1e-3x", "", [0.1]], "a number"),
        ("width", [3, None], ["3x", 2.5], "a whole number or none"),
        ("flag", [True, 0, 1], ["yes!", [True], 0.5], "true or false"),
        ("kind", ["gelu", 3, 0.5], [["gelu"]], "a text"),
        ("sizes", [[1, 2], "1", 3], [], ""),
        ("either", [3, "3x"], [[3]], "a whole number or a text"),
        ("maybe", [0.5, None], ["half"], "a number or none"),
        ("of_typing", [3], ["three"], "a whole number or none"),
        ("own", ["a", [1], 0.5], [], ""),
        ("plain", [1, "auto", [1]], ["1e-3x", ".5.5", "-1-"], "a number"),
        ("negative", [1, "auto"], ["-1x"], "a number"),
        ("switch", ["1x", 3], [], ""),
        ("text", ["1x", 3], [], ""),
        ("free", ["1x", 3, [2]], [], ""),
    ],
)
def test_what_cannot_be_an_arguments_value_is_refused_without_importing_anything(name, fitting, others, wanted):
    for value in fitting:
        check_kinds("model.args", "kinds_of_things:build", [(name, value)])
    for value in others:
        with pytest.raises(
            RequestError, match=f"^model.args.{name}: {re.escape(repr(value))} is not {wanted}, (which|as)"
        ):
            check_kinds("model.args", "kinds_of_things:build", [(name, value)])
    check_kinds("model.args", "kinds_of_things:wrapped", [("depth", "three")])  # who knows what is behind it


def job(tmp_path, **sections):
    model = {"name": "kinds_of_things:build", "args": {"depth": 3, **sections.pop("args", {})}}
    return config_from_dict({**sections, "model": model, "run": {"storage_path": str(tmp_path)}})


def test_a_job_and_a_search_are_refused_before_anything_starts(tmp_path):
    with pytest.raises(RequestError, match=r"^model.args.l2: '1e-3x' is not a number"):
        check_early(job(tmp_path, args={"l2": "1e-3x"}))
    spaces = [
        {"model.args.depth": {"choice": [1.5, 3]}},
        {"model.args.depth": {"choice": [2, "2x"]}},
        {"train.batch_size": {"choice": [32, 64]}, "model.args.depth": {"times": ["train.batch_size", 0.01]}},
        {
            "train.batch_size": {"choice": [32, 64]},
            "model.args.depth": {"by": {"train.batch_size": {32: 1, 64: {"choice": ["2x"]}}}},
        },
    ]
    for space in spaces:
        with pytest.raises(RequestError, match=r"^search.space.model.args.depth: .* is not a whole number"):
            check_search(job(tmp_path, search={"space": space}))
    for spec in ({"uniform": [1, 3]}, {"by": {"train.batch_size": {32: 1, 64: {"loguniform": [1, 4]}}}}):
        space = {"train.batch_size": {"choice": [32, 64]}, "model.args.depth": spec}
        with pytest.raises(RequestError, match="kinds_of_things:build takes a whole number; take integer"):
            check_search(job(tmp_path, search={"space": space}))
    check_search(job(tmp_path, search={"space": {"model.args.depth": {"integer": [1, 3]}}}))
