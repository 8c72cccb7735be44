"""The examples of several runs in one process."""

from __future__ import annotations

import numpy as np
import user_data

from nn_train.config.schema import DataConfig
from nn_train.datasets.once import load_for_run


def test_a_file_is_read_once_for_several_runs_and_a_function_called_for_each(tmp_path):
    (x_train, y_train), (x_test, y_test) = user_data.arrays()
    np.savez(tmp_path / "digits.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    file, function = DataConfig(source=str(tmp_path / "digits.npz")), DataConfig(source="user_data:arrays")
    assert load_for_run(file) is load_for_run(file)
    first, second = load_for_run(function), load_for_run(function)
    assert first is not second
    assert load_for_run(file) is load_for_run(file)
    other = DataConfig(source=file.source, validation_fraction=0.2)
    assert load_for_run(other).validation.size == 2 * load_for_run(file).validation.size
