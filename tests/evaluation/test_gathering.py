"""Every example exactly once, the same bytes for any sharding."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from nn_train.evaluation import PredictionError, Predictions, Shard, load_predictions, merge_shards, store_predictions


def shards_of(predictions: Predictions, workers: int, *, shuffle: bool = False) -> list[Shard]:
    rows = [np.arange(len(predictions))[worker::workers] for worker in range(workers)]
    if shuffle:
        rows = [np.random.default_rng(0).permutation(part) for part in reversed(rows)]
    return [Shard(predictions.example_id[r], predictions.y_true[r], predictions.logits[r]) for r in rows]


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 500])
@pytest.mark.parametrize("shuffle", [False, True])
def test_any_sharding_gives_the_same_bytes(
    tmp_path: Path, predictions: Predictions, workers: int, shuffle: bool
) -> None:
    whole = store_predictions(tmp_path, "whole", predictions, output="logits")
    merged = merge_shards(shards_of(predictions, workers, shuffle=shuffle), len(predictions))
    assert store_predictions(tmp_path, "merged", merged, output="logits") == whole
    assert (tmp_path / "merged.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0, 1, 2, 2], r"1 examples were predicted more than once: 2$"),
        ([0, 1, 3], r"1 of 4 examples were not predicted: 2$"),
        ([], r"4 of 4 examples were not predicted: 0, 1, 2, 3$"),
    ],
)
def test_ids_that_are_not_exactly_the_test_set_are_refused(ids: list[int], message: str) -> None:
    shard = Shard(np.array(ids, np.int64), np.zeros(len(ids), np.int64), np.zeros((len(ids), 3), np.float32))
    with pytest.raises(PredictionError, match=message):
        merge_shards([shard], 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": np.zeros((3, 2), np.float64)}, "float64"),
        ({"y_true": np.array([0, 1, 2])}, "y_true spans 0 to 2"),
        ({"example_id": np.array([0, 1, 1])}, "not strictly increasing"),
    ],
)
def test_wrong_arrays_are_refused(change: dict[str, np.ndarray], message: str) -> None:
    good = {"example_id": np.arange(3), "y_true": np.array([0, 1, 1]), "logits": np.zeros((3, 2), np.float32)}
    with pytest.raises(PredictionError, match=message):
        Predictions(**{**good, **change})


def test_stored_predictions_come_back(tmp_path: Path, predictions: Predictions) -> None:
    store_predictions(tmp_path, "run", predictions, output="log_probabilities", seconds=1.5)
    loaded, note = load_predictions(tmp_path, "run")
    np.testing.assert_array_equal(loaded.logits, predictions.logits)
    assert (note.rows, note.classes, note.output, note.seconds) == (400, 4, "log_probabilities", 1.5)


def test_what_would_run_code_when_it_is_read_is_refused(tmp_path: Path, predictions: Predictions) -> None:
    folder = tmp_path / "not" / "there yet"
    note = store_predictions(folder, "run", predictions, output="logits")
    objects = np.array([predictions], dtype=object)
    np.savez(folder / "run.npz", example_id=objects, y_true=objects, logits=objects)
    changed = hashlib.sha256((folder / "run.npz").read_bytes()).hexdigest()
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace(note.sha256, changed))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_predictions(folder, "run")


def test_a_changed_file_is_refused(tmp_path: Path, predictions: Predictions) -> None:
    store_predictions(tmp_path, "run", predictions, output="logits")
    content = bytearray((tmp_path / "run.npz").read_bytes())
    content[-200] ^= 1
    (tmp_path / "run.npz").write_bytes(content)
    with pytest.raises(PredictionError, match="SHA-256"):
        load_predictions(tmp_path, "run")
