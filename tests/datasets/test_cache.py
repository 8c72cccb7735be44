"""The examples of several runs in one process."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import user_data

from nn_train.config.schema import DataConfig
from nn_train.datasets.cache import load_for_run


def test_a_file_is_read_once_for_several_runs_and_a_function_called_for_each(tmp_path):
    (x_train, y_train), (x_test, y_test) = user_data.arrays()
    np.savez(tmp_path / "digits.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    path = str(tmp_path / "digits.npz")
    file, function = DataConfig(source=path), DataConfig(source="user_data:arrays")
    assert load_for_run(file, 0) is load_for_run(file, 0)
    first, second = load_for_run(function, 0), load_for_run(function, 0)
    assert first is not second
    assert load_for_run(file, 0) is load_for_run(file, 1)
    other = DataConfig(source=path, validation_fraction=0.2)
    assert load_for_run(other, 0).validation.size == 2 * load_for_run(file, 0).validation.size


DRAWS = """
import sys
import numpy as np

def arrays():
    {imports}x = np.random.normal(size=(60, 6)).astype(np.float32)
    y = np.arange(60) % 3
    x[:, 0] = {drawn}
    return (x[:40], y[:40]), (x[40:], y[40:])
"""
LOOK = """
import sys
from nn_train.config.schema import DataConfig
from nn_train.datasets.cache import load_for_run

settings = DataConfig(source="drawing:arrays")
first = load_for_run(settings, 4)
print("tensorflow" in sys.modules, first.sha256 == load_for_run(settings, 4).sha256)
"""
WITH_TENSORFLOW = ("import tensorflow as tf; ", "tf.random.normal((60,)).numpy()", True)


@pytest.mark.parametrize(
    ("imports", "drawn", "needs"),
    [("", "np.random.normal(size=60)", False), pytest.param(*WITH_TENSORFLOW, marks=pytest.mark.long)],
)
def test_what_a_function_draws_is_that_of_the_seed_whether_or_not_it_imports_tensorflow(
    tmp_path, imports, drawn, needs
):
    """In a new process, where nothing else has imported it: nor is it for the seed."""
    (tmp_path / "drawing.py").write_text(DRAWS.format(imports=imports, drawn=drawn))
    (tmp_path / "look.py").write_text(LOOK)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "look.py")], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(needs), "True"]
