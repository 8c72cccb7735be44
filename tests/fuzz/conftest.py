"""Every case runs in an empty folder."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Keras, which would be imported for its names, has tests of its own (tests/engine/test_keras_names.py).
    monkeypatch.setattr("nn_train.runs.preflight.import_quietly", lambda: None)
    for user in ("nn_train.runs.preflight", "nn_train.search.driver"):
        monkeypatch.setattr(f"{user}.check_keras_names", lambda optimizer, train: None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path
