"""Two reports, each rendered once, and one browser to look at them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from headless_browser import Browser, find_browser
from report_folders import HOSTILE, evaluate_runs, some_images, write_run, write_search

from nn_train.report import load_inputs
from nn_train.report.render import render


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
    output = evaluate_runs(runs, root / "out", [write_search(root / "search")])
    inputs = load_inputs(output)
    render(inputs, output, some_images(inputs))
    return output


@pytest.fixture(scope="session")
def two_searches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report of one run and two searches, which vary different fields. Read only."""
    root = tmp_path_factory.mktemp("two")
    searches = [write_search(root / "mlp"), write_search(root / "cnn", 12, "optimizer.momentum", name=HOSTILE)]
    output = evaluate_runs([write_run(root, "run")], root / "out", searches)
    inputs = load_inputs(output)
    render(inputs, output, some_images(inputs))
    return output


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    executable = find_browser()
    if executable is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with Browser(executable, tmp_path_factory.mktemp("profile")) as started:
        yield started
