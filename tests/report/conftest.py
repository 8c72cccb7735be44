"""One evaluation of five runs and a search, rendered once."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_folders import HOSTILE, evaluate_runs, some_images, write_run, write_search

from nn_train.report import load_inputs, render


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report whose names try to break out of it. Read only."""
    root = tmp_path_factory.mktemp("report")
    runs = [
        write_run(root, "a0", model="mlp", seed=0),
        write_run(root, "a1", model="mlp", seed=1, name=HOSTILE),
        write_run(root, "b0", model="my.module:cnn", seed=0, val_accuracy=0.95),
        write_run(root, "b1", model="my.module:cnn", seed=1, val_accuracy=0.96),
        write_run(root, "b2", model="my.module:cnn", seed=2, val_accuracy=0.94),
    ]
    output = evaluate_runs(runs, root / "out", write_search(root / "search"))
    render(load_inputs(output), output, some_images())
    return output
