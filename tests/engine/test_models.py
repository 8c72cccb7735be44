"""The built-in models as files."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.tf


def test_built_in_models_open_where_this_package_is_not_installed(tmp_path):
    from nn_train.config import ModelConfig
    from nn_train.engine.models import build_model

    x, models = np.random.default_rng(0).random((4, 12, 12, 1)).astype(np.float32), {}
    for settings in ({"name": "mlp"}, {"name": "cnn", "dropout": 0.5, "l2": 0.01}):
        models[settings["name"]] = model = build_model(ModelConfig(**settings), (12, 12, 1), 3)
        model.save(tmp_path / f"{settings['name']}.keras")
    np.save(tmp_path / "x.npy", x)
    script = (
        "import sys; sys.modules['nn_train'] = None\n"  # importing this package fails
        "import keras, numpy\n"
        "for name in sys.argv[1:]:\n"
        "    model = keras.models.load_model(f'{name}.keras')\n"
        "    numpy.save(f'{name}.npy', model.predict(numpy.load('x.npy'), verbose=0))\n"
    )
    subprocess.run([sys.executable, "-c", script, *models], check=True, capture_output=True, cwd=tmp_path)
    for name, model in models.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), model.predict(x, verbose=0))


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_a_built_in_model_needs_two_classes(name):
    from nn_train.config import ModelConfig
    from nn_train.engine.models import build_model
    from nn_train.errors import RequestError

    with pytest.raises(RequestError, match=rf"^model.name: {name} needs two classes or more"):
        build_model(ModelConfig(name=name), (28, 28, 1), 1)
