"""The user's Keras callbacks run once, and what they decide holds on every worker."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from tiers import long

pytestmark = pytest.mark.dist


@pytest.mark.parametrize("size", [1, 2, long(3)])
def test_callbacks_run_once_an_epoch_on_the_chief(outcome, size):
    lines = (outcome(size).folder("callbacks") / "recorded.txt").read_text().splitlines()
    assert lines == ["0 0.1000", "1 0.0500", "2 0.0333"]


@pytest.mark.parametrize("size", [1, 2, long(3)])
def test_early_stopping_of_a_callback_stops_all_workers(outcome, size):
    assert len(outcome(size).history("callbacks")) == 3  # of 9; with a worker left behind this run would hang


def test_a_learning_rate_set_by_a_callback_holds_on_every_worker(outcome):
    # Were it set on the chief alone, two workers would train differently from one.
    rates = [row["learning_rate"] for row in outcome(2).history("callbacks")]
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.1 / 3], rtol=1e-6)
    files = outcome(2).folder("callbacks")
    assert (files / "log.csv").read_text().count("\n") == 4
    assert list((files / "own_tensorboard").rglob("events*"))


@pytest.mark.parametrize("size", [1, long(3)])
def test_patience_stops_and_the_best_epoch_is_what_was_saved(outcome, size):
    history = outcome(size).history("patience")
    best = min(range(len(history)), key=lambda i: history[i]["val_loss"])
    assert len(history) == best + 3  # so the best epoch is not the last
    import keras
    import user_data

    from nn_train.datasets import Examples
    from nn_train.datasets.examples import hold_out

    (x, y), _ = user_data.arrays()
    _, validation = hold_out(Examples(x=x, y=y), 0.1)
    model = keras.models.load_model(outcome(size).folder("patience") / "model.keras")
    saved = model.evaluate(validation.x, validation.y, verbose=0, return_dict=True)
    assert saved["loss"] == pytest.approx(history[best]["val_loss"], rel=1e-5)


@pytest.mark.parametrize("size", [2, long(3)])
def test_callbacks_go_on_with_what_they_knew(outcome, size):
    """Had EarlyStopping forgotten the first epoch, it would have stopped one later; CSVLogger kept its rows."""
    assert outcome(size).history("continued_callbacks") == outcome(size).history("callbacks")
    whole, continued = (rows(outcome(size).folder(name) / "log.csv") for name in ("callbacks", "continued_callbacks"))
    assert continued == whole
    assert len(whole) == 3


def rows(file):
    """The rows of a table without times."""
    with file.open() as table:
        return [{name: value for name, value in row.items() if "second" not in name} for row in csv.DictReader(table)]
