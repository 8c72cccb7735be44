"""Which runs are meant: folders of runs, and those of searches."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_folders import write_run, write_search

from nn_train.errors import RequestError
from nn_train.report import collect_runs, find_runs, load_inputs


def test_a_search_stands_for_its_best_runs_in_sorted_order(tmp_path: Path) -> None:
    search = write_search(tmp_path / "search")
    for name in ("rank2", "rank1"):
        write_run(search / "best", name)
    (search / "best" / "notes.txt").write_text("")
    runs = [write_run(tmp_path, "before"), search, str(write_run(tmp_path, "after"))]
    folders, found = find_runs(runs)
    assert [folder.name for folder in folders] == ["before", "rank1", "rank2", "after"]
    assert [folder.location for folder in found] == [str(search)]
    collect_runs(folders, tmp_path / "out", found)
    assert [len(search.trials) for search in load_inputs(tmp_path / "out").searches] == [40]


def test_each_search_brings_its_runs_once(tmp_path: Path) -> None:
    searches = [write_search(tmp_path / name) for name in ("b", "a")]
    for search in searches:
        write_run(search / "best", "rank1")
    folders, found = find_runs([searches[0], searches[1], f"{searches[0]}/"])
    assert [folder.location for folder in folders] == [str(search / "best" / "rank1") for search in searches]
    assert [folder.location for folder in found] == [str(search) for search in searches]


@pytest.mark.parametrize("made", [False, True])
def test_a_search_without_runs_is_refused(tmp_path: Path, made: bool) -> None:
    search = write_search(tmp_path / "search")
    if made:
        (search / "best").mkdir()
    with pytest.raises(RequestError, match=r"^--runs .*/search: the search has no run in .*/search/best; is it fin"):
        find_runs([search])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "trials.csv").unlink(), r"trials\.csv: cannot be read .* folder of a search\?"),
        (lambda folder: (folder / "trials.csv").write_text("trial_id\nt0\n"), r"search: .* cannot be read as a search"),
    ],
)
def test_a_broken_search_is_refused_before_anything_is_written(tmp_path: Path, spoil, message: str) -> None:
    search, run = write_search(tmp_path / "search"), write_run(tmp_path, "run")
    spoil(search)
    with pytest.raises(RequestError, match=message):
        collect_runs([run], tmp_path / "out", [search])
    assert not (tmp_path / "out").exists()
