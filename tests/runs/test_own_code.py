"""Code of the user's that has changed is noticed where a run of it is finished."""

from __future__ import annotations

import subprocess

import pytest

from nn_train.config import config_from_dict, dump_yaml
from nn_train.errors import RequestError
from nn_train.runs.own_code import code_of, note_code, own_code
from nn_train.runs.preflight import existing_run
from nn_train.storage.folder import ResultsFolder

FILES = {
    "mine_model.py": "import os, keras\nfrom mine_parts import block\nfrom mine_parts.deep.er import x\n",
    "mine_parts/__init__.py": "from .block import build\n",
    "mine_parts/block.py": "from ..elsewhere import no\nfrom . import sizes\n",
    "mine_parts/sizes.py": "",
    "mine_parts/deep/__init__.py": "",
    "mine_parts/deep/er.py": "import mine_model\n",  # in a circle
    "mine_data.py": "def load():\n    import mine_late\n",
    "mine_late.py": "",
    "mine_other.py": "",
}
JOB = {"model": {"name": "mine_model:build"}, "data": {"source": "mine_data:load"}}
NAMES = ["mine_data", "mine_late", "mine_model", "mine_parts", "mine_parts.block", "mine_parts.deep"]
NAMES += ["mine_parts.deep.er", "mine_parts.sizes"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of the user's."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_modules_are_those_of_the_functions_and_what_they_import_of_the_users(place):
    assert list(own_code(config_from_dict(JOB).functions.values())["modules"]) == NAMES
    assert own_code([])["modules"] == {}


@pytest.mark.parametrize(
    ("file", "said"),
    [("mine_model.py", "mine_model"), ("mine_parts/sizes.py", "mine_parts.sizes"), ("mine_other.py", None)],
)
def test_a_finished_run_of_other_code_is_refused_with_the_module_that_changed(place, file, said):
    config, folder = config_from_dict(JOB), ResultsFolder(str(place), "run")
    record = {"status": "finished", "code": own_code(config.functions.values())}
    folder.write("config.yaml", dump_yaml(config).encode())
    folder.write_json("result.json", record)
    assert existing_run(folder, config) == record
    (place / file).write_text("# another\n" + FILES[file])
    if said is None:
        assert existing_run(folder, config) == record
        return
    with pytest.raises(RequestError, match=rf"a finished run of other code \({said} changed since\); give another --n"):
        existing_run(folder, config)
    assert existing_run(folder, config_from_dict({**JOB, "run": {"overwrite": True}})) is None


def test_the_commit_is_that_of_the_folder_of_the_code(place):
    assert own_code(config_from_dict(JOB).functions.values())["commit"] is None
    git = ["git", "-C", str(place), "-c", "user.name=A", "-c", "user.email=a@b.example"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    asked = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert own_code(config_from_dict(JOB).functions.values())["commit"] == asked.stdout.strip()
    assert own_code([]) == {"modules": {}, "folders": [], "commit": None}


def test_what_goes_on_with_other_code_keeps_what_it_began_with(place):
    config, folder = config_from_dict(JOB), ResultsFolder(str(place), "run")
    first = own_code(config.functions.values())
    assert note_code(first, folder, 0) == (first, [])
    assert folder.read_json("code.json") == first
    assert note_code(first, folder, 3) == (first, [])
    (place / "mine_data.py").write_text("# mended\n" + FILES["mine_data.py"])
    second = own_code(config.functions.values())
    both = {**second, "earlier": [{**first, "until": 3}]}
    assert note_code(second, folder, 3) == (both, ["mine_data"])
    assert note_code(second, folder, 5) == (both, [])
    assert folder.read_json("code.json") == both
    assert [code_of(both, number) for number in (0, 2, 3)] == [first, first, second]
    assert note_code(first, folder, 0) == (first, [])  # nothing of it was trained
