from __future__ import annotations

from pathlib import Path

import pytest
from report_folders import write_search

from nn_train.report.figures.search import search_panels
from nn_train.report.importance import Importance, importance
from nn_train.report.inputs.search_results import SearchResult, Trial, load_search


def test_trials_are_read_with_their_types(tmp_path: Path) -> None:
    search = load_search(write_search(tmp_path / "search"))
    assert search.params == ["optimizer.learning_rate", "model.activation", "model.dropout"]
    first, failed = search.trials[0], search.trials[5]
    assert isinstance(first.params["optimizer.learning_rate"], float)
    assert first.params["model.activation"] in ("relu", "tanh")
    assert (failed.status, failed.value) == ("failed", None)
    values = [trial.score for trial in search.ranked()]
    assert values == sorted(values, reverse=True)


def test_the_setting_that_decides_is_found_most_important(tmp_path: Path) -> None:
    result = importance(load_search(write_search(tmp_path / "search", trials=120)))
    assert isinstance(result, Importance)
    assert next(iter(result.scores)) == "optimizer.learning_rate"
    assert result.fit > 0.5
    assert result.warning is None


def test_panels_count_the_trials_at_each_rung(tmp_path: Path) -> None:
    search = load_search(write_search(tmp_path / "search"))
    panels = {panel.key: panel for panel in search_panels(search, "")}
    done = sum(trial.epochs >= 9 for trial in search.trials)
    assert [row[1] for row in panels["search_survival"].table.rows] == ["40", "40", str(done)]
    assert "search_importance" not in panels
    assert len([key for key in panels if key.startswith("search_slice")]) == 3


@pytest.mark.parametrize(
    "trials",
    [
        [Trial(trial_id="t", status="failed")],
        [Trial(trial_id="t", status="completed", value=0.5, params={"a": 1.0})],
    ],
    ids=["failed", "one"],
)
def test_a_search_of_almost_nothing_is_shown(trials: list[Trial]) -> None:
    search = SearchResult(metric="val_loss", mode="min", trials=trials, rungs=(1,))
    assert "search_survival" in [panel.key for panel in search_panels(search, importance(search))]
