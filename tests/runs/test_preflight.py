"""Whether a folder is taken, and which changes of a config make another run: decided without Ray."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nn_train.config import Config, config_from_dict, dump_yaml
from nn_train.errors import RequestError
from nn_train.runs.preflight import check_early, config_differences, existing_run
from nn_train.storage.folder import ResultsFolder

FINISHED = {"status": "finished"}


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({}, []),
        ({"scaling": {"num_workers": 7, "cpus_per_worker": 2}}, []),
        ({"optimizer": {"args": {"beta_1": 0.8}}}, ["optimizer.args.beta_1: left out → 0.8"]),
        ({"optimizer": {"name": "Adam"}, "train": {"loss": "CROSS_ENTROPY"}}, []),
        ({"train": {"checkpoint_every_seconds": 1}, "run": {"hang_timeout": 5}}, []),
        ({"train": {"batch_size": 32, "epochs": 1}}, ["train.epochs: 5 → 1", "train.batch_size: 64 → 32"]),
    ],
)
def test_what_changes_the_result_makes_another_run(changes, differences):
    assert sorted(config_differences(Config(), config_from_dict(changes))) == sorted(differences)


def taken(tmp_path, record=None):
    """The folder of a run of the default config."""
    folder = ResultsFolder(str(tmp_path), "run")
    folder.write("config.yaml", dump_yaml(Config()).encode())
    if record is not None:
        folder.write_json("result.json", record)
    return folder


@pytest.mark.parametrize(
    ("record", "changes", "found"),
    [
        (FINISHED, {}, FINISHED),
        (FINISHED, {"run": {"overwrite": True}}, None),
        (None, {}, None),
        ({"status": "failed"}, {}, None),
    ],
)
def test_only_a_finished_run_of_the_same_config_is_not_trained_again(tmp_path, record, changes, found):
    assert existing_run(taken(tmp_path, record), config_from_dict(changes)) == found


@pytest.mark.parametrize("path", ["file", "file/below", "file/below/it"])
def test_results_below_a_file_are_refused(tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"^run.storage_path: .*/file is not a folder$"):
        check_early(config_from_dict({"run": {"storage_path": str(tmp_path / path)}}))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"train: [", b"train: {epochs: many}"])
def test_a_damaged_config_in_the_folder_is_one_message(tmp_path, content):
    folder = taken(tmp_path)
    folder.write("config.yaml", content)
    with pytest.raises(RequestError):
        existing_run(folder, Config())


@pytest.mark.parametrize(
    ("function", "said"),
    [("build", None), ("takes_less", "takes no argument of that name"), ("needs_more", "needs depth")],
)
def test_a_function_is_imported_and_its_arguments_and_those_of_a_search_are_looked_at(
    tmp_path, monkeypatch, function, said
):
    code = "def build(units, width): pass\ndef takes_less(units): pass\ndef needs_more(units, width, depth): pass\n"
    code += "def callbacks(config): pass\n"
    (tmp_path / "its_functions.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("nn_train.runs.preflight.import_quietly", lambda: None)
    monkeypatch.delitem(sys.modules, "its_functions", raising=False)
    model = {"name": f"its_functions:{function}", "args": {"units": 3}}
    config = config_from_dict({"model": model, "train": {"callbacks": "its_functions:callbacks"}})
    if said is None:
        return check_early(config, ["model.args.width", "train.batch_size"])
    with pytest.raises(RequestError, match=said):
        check_early(config, ["model.args.width", "train.batch_size"])


@pytest.mark.parametrize(
    "words",
    [
        ["--optimizer.lerning_rate", "1", "--optimizer.name", "Lyon"],
        ["--modell.name", "it_raises:build"],
    ],
)
def test_misspelt_fields_are_told_before_anything_large_is_imported(tmp_path, words):
    (tmp_path / "it_raises.py").write_text("raise SystemExit('is imported')")
    code = (
        "import sys; from nn_train.jobs.command import train; code = train(sys.argv[1:]); "
        "assert not {'ray', 'tensorflow', 'keras', 'it_raises'} & set(sys.modules), 'imported'; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert words[0].removeprefix("--") in done.stderr


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (
            {"model": {"name": "user_cod:plain"}},
            "model.name: user_cod:plain: there is no module 'user_cod' here; did you mean 'user_code'?",
        ),
    ],
)
def test_a_module_that_is_not_here_is_refused_before_ray_starts(monkeypatch, sections, said):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("nn_train.runs.preflight.import_quietly", lambda: None)
    config = config_from_dict(sections)
    with pytest.raises(RequestError) as refused:
        check_early(config)
    assert said in str(refused.value)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # whose machines may have it
    check_early(config)
