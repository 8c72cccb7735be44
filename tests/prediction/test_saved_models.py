"""The model of a run is opened as it was when it was trained, or refused."""

from __future__ import annotations

import hashlib
import sys

import pytest

pytestmark = pytest.mark.tf


def test_a_model_file_that_would_run_code_is_refused(tmp_path):
    import keras

    from nn_train.errors import RequestError
    from nn_train.prediction.saved_models import load_model

    proof = str(tmp_path / "ran")
    harmful = keras.layers.Lambda(lambda x: (open(proof, "w").close(), x)[1], output_shape=(3,))
    keras.Sequential([keras.Input((3,)), harmful]).save(tmp_path / "model.keras")
    (tmp_path / "ran").unlink(missing_ok=True)
    with pytest.raises(RequestError, match=r"model\.keras cannot be opened: .*Lambda"):
        load_model((tmp_path / "model.keras").read_bytes(), "mlp", {})
    assert not (tmp_path / "ran").exists()


OWN_LAYER = """
import keras

class Doubles(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def build():
    return keras.Sequential([keras.Input((3,)), Doubles(), keras.layers.Dense(2)])
"""


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """``saved()``: the content of a model's file; its module lies in a folder that is looked up."""
    (tmp_path / "mine_with_layer.py").write_text(OWN_LAYER)
    monkeypatch.syspath_prepend(tmp_path)

    def content():
        import mine_with_layer

        mine_with_layer.build().save(tmp_path / "model.keras")
        return (tmp_path / "model.keras").read_bytes()

    yield content
    sys.modules.pop("mine_with_layer", None)


def test_layers_of_the_models_module_are_found_without_being_registered(saved):
    from nn_train.prediction.saved_models import load_model

    model = load_model(saved(), "mine_with_layer:build", {})
    assert [type(layer).__name__ for layer in model.layers] == ["Doubles", "Dense"]


@pytest.mark.parametrize("is_changed", [True, False])
def test_code_that_changed_since_a_run_was_trained_is_said(saved, tmp_path, is_changed):
    from nn_train.prediction.own_modules import warn_of_changes

    said: list[str] = []
    digest = hashlib.sha256((tmp_path / "mine_with_layer.py").read_bytes()).hexdigest()
    modules = {"mine_with_layer": "0" if is_changed else digest, "not_here": "0", "__main__:build": "0"}
    warn_of_changes({"code": {"modules": modules}}, said.append)
    expected = "warning: mine_with_layer changed since the run was trained; its model is opened with the code of now"
    assert said == ([expected] if is_changed else [])


@pytest.mark.parametrize(("folders", "said"), [([], "here; Start"), (["/old"], "here; it was in /old when")])
def test_a_module_that_is_not_here_is_named_with_where_it_was_and_not_looked_up_there(saved, folders, said):
    from nn_train.errors import RequestError
    from nn_train.prediction.saved_models import load_model

    content = saved()
    with pytest.raises(RequestError, match=f"model.name: no module 'not_here' {said}"):
        load_model(content, "not_here:build", {"code": {"folders": folders}})
