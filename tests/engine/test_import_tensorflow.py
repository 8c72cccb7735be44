"""What a worker does not need is not imported with Keras, and is there for whoever wants it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.tf
SCRIPT = """
import gc, os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
from nn_train.engine.import_tensorflow import import_tensorflow
import_tensorflow()
print([name for name in ("keras", "tensorflow", *sys.argv[1:]) if name in sys.modules], gc.isenabled())
import tensorflow as tf
print(tf.keras.version().partition(".")[0])
import matplotlib.pyplot, sklearn.metrics
print(matplotlib.pyplot.figure is not None, sklearn.metrics.accuracy_score([1], [1]))
"""


def test_what_keras_imports_where_it_is_there_is_left_out_until_somebody_wants_it(tmp_path):
    command = [sys.executable, "-c", SCRIPT, "matplotlib", "sklearn", "pandas", "scipy", "googleapiclient"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["['keras', 'tensorflow'] True", "3", "True 1.0"], done.stderr[-2000:]
