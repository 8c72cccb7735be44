"""Packages that are imported when something of them is wanted."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from nn_train.config.later import left_out

PARTS = {
    "large/__init__.py": "VERSION = 3\n",
    "large/tables.py": "class Table:\n    def __init__(self, rows):\n        self.rows = rows\n",
    "large/deep/__init__.py": "",
    "large/deep/sums.py": "def total(*numbers): return sum(numbers)\n",
    "spare.py": "",
    "user_of_large.py": """
import large
import large.tables
from large.deep.sums import total
from large.tables import Table
try:
    import spare
except ImportError:
    spare = None

KINDS = (int, Table)

def width(table: Table) -> "large.tables.Table | None": ...
""",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in PARTS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def imported():
    return sorted(name for name in sys.modules if name.partition(".")[0] in ("large", "spare"))


def test_what_is_left_out_is_imported_when_it_is_used(folder: Path) -> None:
    with left_out("large", absent=("spare",)):
        user = importlib.import_module("user_of_large")
    assert imported() == []
    assert user.spare is None
    assert not isinstance("text", user.KINDS)
    assert imported() == [], "nothing can be a table yet"
    assert user.total(1, 2, 3) == 6
    assert imported() == ["large", "large.deep", "large.deep.sums"]
    table = user.Table([1])
    assert table.rows == [1]
    assert isinstance(table, user.KINDS)
    assert not isinstance("text", user.KINDS)
    assert user.large.VERSION == 3


def test_afterwards_everything_is_found_as_ever(folder: Path) -> None:
    with left_out("large", absent=("spare",)):
        importlib.import_module("user_of_large")
    import large
    import spare
    from large.tables import Table

    assert large.__file__ == str(folder / "large" / "__init__.py")
    assert spare.__file__ == str(folder / "spare.py")
    assert isinstance(Table, type)


def test_a_part_of_a_package_can_be_left_out_alone(folder: Path) -> None:
    with left_out("large.deep"):
        user = importlib.import_module("user_of_large")
    assert imported() == ["large", "large.tables", "spare"]
    assert not hasattr(user.large, "deep")
    assert user.total(2, 2) == 4


def test_what_is_imported_already_stays(folder: Path) -> None:
    import large

    with left_out("large", absent=("large",)):
        user = importlib.import_module("user_of_large")
    assert user.large is large
    assert isinstance(user.Table, type)
