"""A report of two searches that vary different fields: in its files and on its page."""

from __future__ import annotations

import json
import re
from pathlib import Path

from report_folders import HOSTILE, write_run, write_search
from report_readers import Reader, read_csv

from nn_train.report import collect_runs, load_inputs
from nn_train.report.inputs.search_results import load_search


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


def test_searches_come_back_as_they_were(tmp_path: Path) -> None:
    places = [
        write_search(tmp_path / "a", 9),
        write_search(tmp_path / "b", 12, "model.units", name="two\rlines", extra=[1]),
    ]
    with open(places[1] / "trials.csv", "a", encoding="utf-8", newline="") as file:
        file.write('t1,failed,"said ""no"",\r\nthen\rdied",1,,,0.1,relu,""\r\n')
    with open(places[0] / "trials.csv", encoding="utf-8") as file:
        header, *lines = file.read().splitlines()
    confirmed = [f"{line},mine,{'confirm' if number == 8 else 'search'}\n" for number, line in enumerate(lines)]
    (places[0] / "trials.csv").write_text("".join([f"{header},search,phase\n", *confirmed]), encoding="utf-8")
    given = [load_search(place) for place in places]
    collect_runs([write_run(tmp_path, "run")], tmp_path / "out", places)
    found = load_inputs(tmp_path / "out").searches
    assert [search.trials for search in found] == [search.trials for search in given]
    assert [len(search.trials) for search in found] == [8, 13]
    assert found[1].trials[-1].cause == 'said "no",\nthen\ndied'
    assert [search.about for search in found] == [{**search.about, "name": search.name} for search in given]
    assert json.loads((tmp_path / "out" / "searches.json").read_text())[1]["extra"] == [1]
    rows = read_csv(tmp_path / "out" / "trials.csv")[7:10]
    assert [(row["search"], row["phase"]) for row in rows] == [("a", "search"), ("a", "confirm"), ("two lines", "")]
