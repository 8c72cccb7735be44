from __future__ import annotations

from pathlib import Path

import pytest
from report_folders import HOSTILE, write_run, write_search

from nn_train.errors import RequestError
from nn_train.report import collect_runs, load_inputs


def test_collected_runs_come_back_without_their_folders(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, "one"), write_run(tmp_path, "two", name=HOSTILE)]
    records = collect_runs(runs, tmp_path / "out", [write_search(tmp_path / "search")])
    for path in (*runs, tmp_path / "search"):
        path.rename(path.with_name(path.name + "_moved"))
    inputs = load_inputs(tmp_path / "out")
    assert inputs.runs == records
    assert [record.name for record in records] == ["one", HOSTILE]
    assert records[1].stem == "script_img_src_x_onerror_alert_1"
    assert [len(search.trials) for search in inputs.searches] == [40]


def test_runs_of_the_same_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "lr1", "cnn"), write_run(tmp_path / "lr2", "cnn"), write_run(tmp_path, "mlp")]
    records = collect_runs(runs, tmp_path / "out")
    assert [record.name for record in records] == ["lr1/cnn", "lr2/cnn", "mlp"]
    assert [record.stem for record in records] == ["lr1_cnn", "lr2_cnn", "mlp"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "result.json").unlink(), r"result\.json: cannot be read .* the folder of a run\?"),
        (lambda folder: (folder / "result.json").write_text("{"), r"result\.json: not valid JSON"),
        (lambda folder: (folder / "metrics.jsonl").write_text("{\n{}\n"), r"metrics\.jsonl: not valid JSON"),
    ],
)
def test_a_broken_run_folder_is_named(tmp_path: Path, spoil, message: str) -> None:
    run = write_run(tmp_path, "run")
    spoil(run)
    with pytest.raises(RequestError, match=message):
        collect_runs([run], tmp_path / "out")


def test_no_runs_and_no_evaluation_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="at least one run"):
        collect_runs([], tmp_path)
    with pytest.raises(RequestError, match=r"evaluation\.json"):
        load_inputs(tmp_path)
