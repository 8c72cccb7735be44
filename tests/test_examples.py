"""The examples do what their READMEs say, in an empty folder, from an installed wheel."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
TIMEOUT = 300  # seconds, of a command; an example should need less than five minutes in all
BLOCK = re.compile(r"```\n(.*?)```", re.DOTALL)
NOT_OF_USERS = ("RAY_ADDRESS", "RAY_worker_niceness")  # tiers.py sets the second
# The least accuracy on the test set of each run in the report, by the start of its name.
LEAST = {
    "tabular": {"tumours": 0.9, "tumours_search": 0.9},
    "image_folder": {"digits": 0.95, "digits_as_they_are": 0.94},
    "text": {"docstrings": 0.75},
    "transfer": {"five_to_nine": 0.6, "from_nothing": 0.4},
}

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.limit(2 * TIMEOUT)]


@pytest.fixture
def follow(environment, tmp_path):
    """``follow(name)``: the commands of an example's README, run in a copy of its folder; what the last one said."""

    def run(name):
        folder = tmp_path / name
        shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__", "results"))
        said = ""
        for command in BLOCK.search((folder / "README.md").read_text())[1].splitlines():
            said = ended(start(environment, folder, command))
        return folder, said

    return run


def start(environment, folder, command, **more):
    program, *words = shlex.split(command)
    variables = {name: value for name, value in os.environ.items() if name not in NOT_OF_USERS} | more
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([environment / program, *words], cwd=folder, env=variables, **pipes)


def ended(process):
    """What a process said, which ended well."""
    try:
        said, _ = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert process.returncode == 0, said
    return said


def test_the_table_names_the_examples():
    named = re.findall(r"^\| \[(\w+)\]\((\w+)\)", (EXAMPLES / "README.md").read_text(), flags=re.MULTILINE)
    assert sorted(folder for _, folder in named) == sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
    assert all(name == folder for name, folder in named)


@pytest.mark.parametrize("name", LEAST)
def test_a_report_at_the_end_shows_that_the_models_learned(follow, name):
    folder, said = follow(name)
    assert said.splitlines()[-1] == "report/report.html"
    found = {run: float(number) for run, number in re.findall(r"^(\w+): .* accuracy ([\d.]+)$", said, re.MULTILINE)}
    for run, least in LEAST[name].items():
        assert max(number for other, number in found.items() if other.startswith(run)) >= least
    assert (folder / "report" / "report.html").exists()


def test_the_forecast_is_better_than_simple_rules(follow):
    _, said = follow("forecasting")
    model, *rules = map(float, re.findall(r"mean absolute error ([\d.]+)", said))
    assert len(rules) == 2
    assert model < min(rules)


def test_the_gan_draws_with_varied_strokes_on_one_worker_and_on_two(follow, environment):
    from PIL import Image

    folder, said = follow("gan")
    assert "64 drawings are in drawn.png" in said
    alone = np.asarray(Image.open(folder / "drawn.png"))
    template = json.loads(re.search(r"TF_CONFIG='(.*)'", (folder / "README.md").read_text())[1])
    with socket.create_server(("localhost", 0)) as one, socket.create_server(("localhost", 0)) as other:
        template["cluster"]["worker"] = [f"localhost:{free.getsockname()[1]}" for free in (one, other)]
    workers = []
    for index in range(2):
        template["task"]["index"] = index
        workers.append(start(environment, folder, "python gan.py", TF_CONFIG=json.dumps(template)))
    says = [ended(worker) for worker in workers]
    assert "64 drawings are in drawn.png" in says[0]
    assert "drawings" not in says[1]
    for drawn in (alone, np.asarray(Image.open(folder / "drawn.png"))):
        tiles = drawn.reshape(8, 64, 8, 64).transpose(0, 2, 1, 3).reshape(64, -1).astype(float)
        assert tiles.std(axis=0).mean() > 30  # not one drawing 64 times
        assert tiles.mean() < 160  # strokes on a dark ground
