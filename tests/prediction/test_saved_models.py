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


@pytest.mark.parametrize(("factor", "is_changed"), [(2, True), (0.5, True), (0.5, False)])
def test_a_model_that_computes_something_else_with_the_code_of_now_is_refused(
    saved, tmp_path, monkeypatch, factor, is_changed
):
    """Where the code is what it was, another processor rounds otherwise."""
    from nn_train.engine.sample_outputs import sample_outputs
    from nn_train.errors import RequestError
    from nn_train.prediction.saved_models import load_model

    content, name = saved(), "mine_with_layer:build"
    outputs = sample_outputs(load_model(content, name, {}))
    digest = hashlib.sha256((tmp_path / "mine_with_layer.py").read_bytes()).hexdigest()
    modules = {"mine_with_layer": "0" if is_changed else digest, "not_here": "0"}
    result = {"code": {"modules": modules, "outputs": outputs}}
    monkeypatch.setattr(sys.modules["mine_with_layer"].Doubles, "call", lambda self, x: factor * x)
    if factor == 2 or not is_changed:
        load_model(content, name, result)
        return
    with pytest.raises(RequestError, match=r"model\.name: mine_with_layer changed since the run was trained"):
        load_model(content, name, result)


@pytest.mark.parametrize(("folders", "said"), [([], "here; Start"), (["/old"], "here; it was in /old when")])
def test_a_module_that_is_not_here_is_named_with_where_it_was_and_not_looked_up_there(saved, folders, said):
    from nn_train.errors import RequestError
    from nn_train.prediction.saved_models import load_model

    content = saved()
    with pytest.raises(RequestError, match=f"model.name: no module 'not_here' {said}"):
        load_model(content, "not_here:build", {"code": {"folders": folders}})
