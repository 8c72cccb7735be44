"""A report of two searches that vary different fields: in its files and on its page."""

from __future__ import annotations

import re
from pathlib import Path

from report_folders import HOSTILE
from report_readers import Reader, read_csv


def test_each_search_has_its_heading_its_figures_and_its_outcomes(two_searches: Path) -> None:
    reader = Reader(two_searches / "report.html")
    assert len(reader.ids) == len(set(reader.ids))
    figures = {path.stem for path in (two_searches / "figures").glob("search*.svg")}
    kinds = ("history", "parallel", "importance", "survival", "slice_0", "slice_1", "slice_2")
    assert figures == {f"search_{number}_{kind}" for number in (1, 2) for kind in kinds}
    assert {f"t-{name}" for name in figures} <= set(reader.ids)
    text = "".join(reader.text)
    text = text[text.rindex("\nSearch\n") :]
    parts = [
        (f"\n{name}", f"{count} trials, ", f"\nTrials of {name} by") for name, count in (("mlp", 40), (HOSTILE, 12))
    ]
    places = [text.index(part) for part in (*parts[0], *parts[1])]
    assert places == sorted(places)
    assert re.search(r"have optimizer\.momentum", text[places[3] :])
    assert not re.search(r"have optimizer\.momentum", text[: places[3]])


def test_the_table_of_trials_has_the_columns_of_both(two_searches: Path) -> None:
    rows = read_csv(two_searches / "trials.csv")
    assert list(rows[0])[:2] == ["search", "trial_id"]
    assert [row["search"] for row in rows] == ["mlp"] * 40 + [HOSTILE] * 12
    assert [bool(row["config/model.dropout"]) for row in rows] == [True] * 40 + [False] * 12
    assert [bool(row["config/optimizer.momentum"]) for row in rows] == [False] * 40 + [True] * 12
