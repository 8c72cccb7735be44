"""The files of a report: complete, exact, the same bytes every time, and safe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from check_report import check_report
from check_report import main as check_main
from report_folders import CLASSES, HOSTILE
from report_readers import Reader, contents

FILES = (
    "report.html", "README.md", "metrics.json", "confusion.csv", "curves.csv", "calibration.csv", "history.csv",
    "trials.csv", "errors.csv", "searches.json",
)  # fmt: skip


def test_the_report_does_not_depend_on_hash_order_or_folder(report: Path, tmp_path: Path) -> None:
    again = tmp_path / "elsewhere"
    shutil.copytree(report, again)
    for name in FILES[:1] + FILES[2:4]:
        (again / name).unlink()
    code = (
        "import sys, pathlib; from nn_train.report import load_inputs; from nn_train.report.render import render;"
        "folder = pathlib.Path(sys.argv[1]); render(load_inputs(folder), folder)"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code, str(again)], check=True, env=environment, cwd=tmp_path)
    assert contents(again) == contents(report)


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("nn_train.report.render", "tensorflow keras ray"),
        ("nn_train.prediction.scorer", "tensorflow keras matplotlib sklearn pandas scipy.stats"),  # each worker's
    ],
)
def test_who_writes_the_report_and_who_predicts_import_only_what_they_use(module: str, spared: str) -> None:
    code = f"import sys, {module}; print(sorted({set(spared.split())} & set(sys.modules)))"
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_independent_code_agrees_with_every_number(report: Path) -> None:
    check = check_report(report)
    assert check.failures == []
    assert check.compared > 1000
    assert check.worst < 1e-12


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("metrics.json", '"method": "macro mean over 4 of 4 classes",\n          "n": 4', None),
        ("confusion.csv", "run,a0,0,0,", "run,a0,0,0,1"),
        ("curves.csv", "a0,0,", "a0,1,"),
    ],
)
def test_the_check_finds_a_changed_number(report: Path, tmp_path: Path, file: str, old: str, new: str | None) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(report, changed)
    text = (changed / file).read_text(encoding="utf-8")
    if new is None:
        content = json.loads(text)
        content["runs"][1]["numbers"]["f1_macro"]["value"] += 1e-11
        text = json.dumps(content)
    else:
        assert old in text
        text = text.replace(old, new, 1)
    (changed / file).write_text(text, encoding="utf-8")
    assert check_main([str(changed)]) == 1
    assert check_main([str(report)]) == 0


def numbers_in(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        if "method" in content:
            yield content
        content = list(content.values())
    if isinstance(content, list):
        for inner in content:
            yield from numbers_in(inner)


def test_metrics_json_is_strict_and_complete(report: Path) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    content = json.loads((report / "metrics.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert content["schema"] == 1
    numbers = list(numbers_in(content))
    assert len(numbers) > 250
    for number in numbers:
        assert {"value", "interval", "method", "n"} <= set(number)
        assert (number["value"] is None) == ("reason" in number)
    assert content["selection"] == {
        "metric": "val_accuracy", "value": 0.96, "group": "my.module:cnn", "run": "b1"
    }  # fmt: skip
    assert "seconds" not in json.dumps(content)


def test_names_from_users_are_text_and_nothing_else(report: Path) -> None:
    reader = Reader(report / "report.html")
    attributes = {name for _, attrs in reader.tags for name in attrs}
    assert not {name for name in attributes if name.startswith("on")} | ({"style"} & attributes)
    assert [
        attrs["src"] for tag, attrs in reader.tags if tag == "img" and not str(attrs["src"]).startswith("data:")
    ] == []
    assert [tag for tag, _ in reader.tags].count("script") == 1
    assert "b" not in {tag for tag, _ in reader.tags}
    text = "".join(reader.text)
    assert HOSTILE in text
    assert all(name in text for name in CLASSES)


def test_the_page_has_every_section_and_no_id_twice(report: Path) -> None:
    reader = Reader(report / "report.html")
    ids = reader.ids
    assert len(ids) == len(set(ids))
    links = [
        str(attrs["href"])[1:] for tag, attrs in reader.tags if tag == "a" and str(attrs.get("href")).startswith("#")
    ]
    assert len(links) == 14
    assert set(links) <= set(ids)
    described = [attrs for tag, attrs in reader.tags if tag == "svg" and attrs.get("role") == "img"]
    assert len(described) > 15
    assert all(attrs["aria-labelledby"] in ids and attrs["aria-describedby"] in ids for attrs in described)
    assert [tag for tag, _ in reader.tags].count("figure") == len(described)


def test_seeds_are_averaged_never_pooled(report: Path) -> None:
    content = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    assert {run["numbers"]["accuracy"]["n"] for run in content["runs"]} == {300}
    group = next(group for group in content["groups"] if group["label"] == "my.module:cnn")
    values = [run["numbers"]["accuracy"]["value"] for run in content["runs"] if run["group"] == "my.module:cnn"]
    mean, sd = group["numbers"]["accuracy"]["mean"], group["numbers"]["accuracy"]["sd"]
    assert (mean["value"], mean["n"], mean["interval"]) == (pytest.approx(np.mean(values)), 3, None)
    assert sd["value"] == pytest.approx(np.std(values, ddof=1))


def test_the_model_card_can_be_read_by_programs_and_shows_names_as_text(report: Path) -> None:
    text = (report / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    index = yaml.safe_load(front)["model-index"][0]
    metrics = {metric["type"]: metric["value"] for metric in index["results"][0]["metrics"]}
    content = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    selected = next(run for run in content["runs"] if run["name"] == "b1")
    assert index["name"] == "b1"
    assert metrics["accuracy"] == selected["numbers"]["accuracy"]["value"]
    assert "<img" not in body
    assert "&lt;/script&gt;&lt;img src=x" in body
