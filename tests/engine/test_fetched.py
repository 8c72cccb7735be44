"""What is left of reading by rows: nothing where a file changed meanwhile, nobody's memory where it has ended."""

from __future__ import annotations

import gc
import os
import weakref

import pytest
import user_data

from nn_train.config import config_from_dict
from nn_train.errors import TrainingError

pytestmark = pytest.mark.tf


@pytest.fixture
def loop(tmp_path):
    """``loop()``: over the rows of files, with one worker."""
    import tensorflow as tf

    from nn_train.datasets import load_data
    from nn_train.engine.preparation import prepare_model
    from nn_train.engine.strategy import Replicas

    user_data.save_folder(
        tmp_path / "data", (*user_data.arrays()[:1], user_data.digits(20, seed=7), user_data.arrays()[1])
    )
    replicas = Replicas(strategy=tf.distribute.get_strategy(), rank=0, size=1)

    def made():
        sections = {"data": {"source": str(tmp_path / "data")}, "train": {"batch_size": 16}}
        config = config_from_dict({**sections, "scaling": {"num_workers": 1}})
        data = load_data(config.data)
        return prepare_model(config, data, replicas).loop()

    return made


@pytest.mark.parametrize(
    ("part", "run"), [("train", lambda one: one.train_epoch(1)), ("val", lambda one: one.evaluate())]
)
def test_a_file_that_changes_while_it_is_read_ends_the_epoch_or_the_validation(loop, tmp_path, monkeypatch, part, run):
    from nn_train.datasets.npy_file import NpyFile

    one, file, take = loop(), tmp_path / "data" / f"x_{part}.npy", NpyFile.take
    one.train_epoch(0)
    one.evaluate()

    def touched(self, index):
        os.utime(file, ns=(1, 1))
        return take(self, index)

    monkeypatch.setattr(NpyFile, "take", touched)
    with pytest.raises(TrainingError, match=rf"^data\.source: x_{part}\.npy changed since the run began"):
        run(one)


def test_what_has_ended_is_given_back(loop):
    def ended():
        one = loop()
        one.train_epoch(0)
        one.evaluate()
        return [weakref.ref(held) for held in (one.train_run.feeder.fetcher, one.model, one.data.train.rows)]

    held = [reference for _ in range(2) for reference in ended()]
    gc.collect()
    assert [reference() for reference in held] == [None] * 6
