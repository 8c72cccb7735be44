"""What must not break a report: missing, undefined and broken things."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from check_report import check_report
from report_folders import evaluate_runs, for_each_run, some_images, some_pixels, some_predictions, write_run

from nn_train.errors import RequestError
from nn_train.evaluation import Predictions
from nn_train.report import load_inputs
from nn_train.report.render import render
from nn_train.report.summary import summarise


def make_report(root: Path, answers: list[Predictions], **changes: Any) -> tuple[dict[str, Any], str]:
    """metrics.json and the page of as many runs as there are answers."""
    runs = [write_run(root, f"run{i}", seed=i, **changes) for i in range(len(answers))]
    output = evaluate_runs(runs, root / "out", answers=answers)
    inputs = load_inputs(output)
    page = render(inputs, output, some_images(inputs))
    assert check_report(output).failures == []
    return json.loads((output / "metrics.json").read_text(encoding="utf-8")), page.read_text(encoding="utf-8")


def with_logits(change: Callable[[np.ndarray], Any], seed: int = 0) -> Predictions:
    good = some_predictions(seed)
    logits = good.logits.copy()
    change(logits)
    return Predictions(good.example_id, good.y_true, logits)


def test_a_class_without_examples_is_a_dash_with_a_reason(tmp_path: Path) -> None:
    good = some_predictions(0)
    content, page = make_report(tmp_path, [Predictions(good.example_id, good.y_true % 3, good.logits)])
    number = content["runs"][0]["per_class"][3]["numbers"]["roc_auc"]
    assert (number["value"], number["reason"]) == (None, "the test set has no example of this class")
    assert content["runs"][0]["numbers"]["roc_auc_macro"]["method"] == "macro mean over 3 of 4 classes"
    assert '–</span><span class="sr"> (the test set has no example of this class)' in page
    assert "nan" not in page.lower().split("<main>")[1].split("<svg")[0]


def test_a_diverged_run_has_a_problem_and_the_others_their_numbers(tmp_path: Path) -> None:
    broken = with_logits(lambda z: z.__setitem__((slice(5), 0), np.nan))
    content, page = make_report(tmp_path, [broken, some_predictions(1)])
    assert content["runs"][0]["problem"] == "the logits of 5 of 300 examples are not finite"
    assert content["selection"]["run"] == "run1"
    assert "run0 has no numbers: the logits of 5 of 300 examples are not finite." in page


def test_a_run_without_predictions_is_listed(tmp_path: Path) -> None:
    failed = write_run(tmp_path, "failed", result={"status": "failed", "metrics": {}})
    good = write_run(tmp_path, "good", seed=1)
    output = evaluate_runs([good, failed], tmp_path / "out")
    (output / "predictions" / "failed.npz").unlink()
    page = render(load_inputs(output), output).read_text(encoding="utf-8")
    assert "no predictions; the run: failed" in page
    assert check_report(output).failures == []


def test_null_and_nan_metrics_leave_gaps(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run")
    lines = ['{"epoch": 1, "loss": NaN, "accuracy": null}', '{"epoch": 2, "loss": 0.5, "extra": 7}', '{"epoch": 3, "lo']
    (run / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    output = evaluate_runs([run], tmp_path / "out")
    render(load_inputs(output), output)
    history = (output / "history.csv").read_text(encoding="utf-8").splitlines()
    assert history[0].endswith("world_size,extra")
    assert history[1:] == ["run,1,,,,,,,,,", "run,2,0.5,,,,,,,,7"]


def test_very_many_classes_keep_the_page_small(tmp_path: Path) -> None:
    _, page = make_report(tmp_path, [some_predictions(0, classes=60)])
    assert "60 classes are too many for a table" in page
    assert len(page) < 2_000_000


def test_a_large_test_set_prints_bounds(tmp_path: Path) -> None:
    output = evaluate_runs([write_run(tmp_path, "run")], tmp_path / "out")
    page = render(load_inputs(output), output, exact_rows=100).read_text(encoding="utf-8")
    numbers = json.loads((output / "metrics.json").read_text(encoding="utf-8"))["runs"][0]["numbers"]
    for name in ("roc_auc_macro", "roc_auc_micro", "average_precision_macro"):
        low, high = numbers[name]["bounds"]
        assert low <= numbers[name]["value"] <= high
        assert f"[{low:.5f}, {high:.5f}]" in page
    assert "areas under curves come from histograms" in page
    assert check_report(output).failures == []


def test_runs_on_different_test_sets_are_refused(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, f"run{i}", seed=i) for i in range(2)]
    output = evaluate_runs(runs, tmp_path / "out", answers=[some_predictions(0), some_predictions(0, rows=200)])
    with pytest.raises(RequestError, match="'run0' and 'run1' were evaluated on different test sets"):
        render(load_inputs(output), output)


@pytest.mark.parametrize(("source", "badged"), [("mnist", True), ("fashion_mnist", False), ("my/mnist.npz", False)])
def test_only_mnist_has_doubtful_labels(tmp_path: Path, source: str, badged: bool) -> None:
    labels = np.zeros(1000, np.int64)
    logits = np.tile(np.array([1, 0], np.float32), (1000, 1))
    logits[947] = (0, 9)
    _, page = make_report(tmp_path, [Predictions(np.arange(1000), labels, logits)], source=source)
    assert ("label in doubt" in page) is badged


@pytest.mark.parametrize(
    "images",
    [some_pixels(), some_pixels() / 255.0, np.stack([some_pixels()] * 3, axis=-1), some_pixels()[..., None] - 3.5],
    ids=["uint8", "float", "rgb", "stretched"],
)
def test_images_of_any_usual_kind_are_shown(tmp_path: Path, images: np.ndarray) -> None:
    output = evaluate_runs([write_run(tmp_path, "run")], tmp_path / "out")
    inputs = load_inputs(output)
    page = render(inputs, output, for_each_run(inputs, images)).read_text(encoding="utf-8")
    assert page.count('<img src="data:image/png;base64,') == len(list((output / "figures").glob("mistake_*.png"))) > 0


def test_the_images_are_those_of_the_run_that_is_shown(tmp_path: Path) -> None:
    """Two runs may have the same labels and other inputs; without any, those of an earlier report go."""
    output = evaluate_runs([write_run(tmp_path, f"run{seed}", seed=seed) for seed in (0, 1)], tmp_path / "out")
    inputs = load_inputs(output)
    images = {run.stem: dict.fromkeys(range(1_000), np.full((8 + i, 8), i)) for i, run in enumerate(inputs.runs)}
    render(inputs, output, images)
    shown = summarise(inputs, lambda *row: None).shown
    assert shown is not None
    with np.load(output / "mistakes.npz") as kept:
        np.testing.assert_array_equal(kept["image"][0], images[shown.record.stem][0])
    render(inputs, output, {run.stem: {} for run in inputs.runs})
    assert not (output / "mistakes.npz").exists()
