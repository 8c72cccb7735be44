"""The arrows of the design: what may import what. The table is in ``layout.py``."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

import pytest
from layout import KNOWS, PACKAGE, WITH_RAY, WITH_TENSORFLOW, arrows, drawing, imports, modules

FILES = {module: file for module, file in modules().items() if module}


def room_of(module):
    return module.partition(".")[0]


@pytest.mark.parametrize("module", FILES)
def test_imports_point_one_way(module):
    own = room_of(module)
    assert own in KNOWS, f"{own} is in no table: see layout.py"
    assert {room_of(name) for name in arrows()[module]} <= {own, *KNOWS[own].split()}
    roots = {name.split(".")[0] for name in imports(FILES[module])}
    assert "ray" not in roots or own in WITH_RAY, f"{own} knows no Ray"
    assert not roots & {"tensorflow", "keras"} or own in WITH_TENSORFLOW, f"{own} knows no TensorFlow"


def test_there_is_no_cycle_between_files():
    TopologicalSorter(arrows()).prepare()
    with pytest.raises(CycleError):
        TopologicalSorter({**arrows(), "errors": {"pipeline.driver"}}).prepare()


def test_every_arrow_of_the_table_is_there():
    found = {(room_of(module), room_of(name)) for module, names in arrows().items() for name in names}
    assert {(room, known) for room in KNOWS for known in KNOWS[room].split()} <= found
    assert len(KNOWS) <= 17


def test_the_document_shows_the_table():
    assert f"```\n{drawing()}\n```" in (PACKAGE.parent / "docs" / "layout.md").read_text(), (
        "python tests/layout.py prints it"
    )


def test_few_parameters_can_be_anything():
    """Those of Ray's classes that are overridden, and values whose type is what is looked at."""
    annotations = [
        parameter.annotation
        for file in FILES.values()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
        for parameter in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg)
        if parameter is not None and parameter.arg not in ("self", "cls")
    ]
    anything = [one for one in annotations if isinstance(one, ast.Name) and one.id == "Any"]
    assert len(anything) <= 0.03 * len(annotations)
