"""Job files and command lines: what they give, and how they refuse."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nn_train.config import Config, config_from_dict, config_to_dict, dump_yaml, read_config
from nn_train.config.cli import exit_code, help_text, parse_arguments, run_job
from nn_train.config.parse import field_types
from nn_train.errors import RequestError, StorageError, TrainingError

CONFIGS = sorted((Path(__file__).parents[2] / "nn_train" / "presets").glob("*.yaml"))
OWN = ["--model.name", "my_models:build"]
DRY = {"dry_run": "say what would be run"}


def test_every_field_has_a_default_and_a_help_line():
    text = help_text("Job", stages=("search", "pipeline"))
    for path in field_types():
        assert f"--{path} " in text
    assert Config().model.name == "mlp"
    assert Config().data.source == "mnist"
    assert Config().scaling.num_workers == 2


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_job_files_are_valid_say_their_command_and_name_their_run(file):
    assert read_config(file.stem, {}).name == file.stem
    assert f"--config {file.stem}" in file.read_text()


def test_a_resolved_config_reads_back_as_itself(tmp_path):
    config = config_from_dict({"seed": 7, "model": {"dropout": 0.5}, "run": {"loggers": []}})
    (tmp_path / "config.yaml").write_text(dump_yaml(config))
    assert read_config(str(tmp_path / "config.yaml"), {}) == config
    assert config_from_dict(config_to_dict(config)) == config


def test_the_command_line_wins_over_the_file(tmp_path):
    (tmp_path / "job.yaml").write_text("optimizer:\n  learning_rate: 1e-2\ntrain:\n  epochs: 3\n")
    words = ["--config", str(tmp_path / "job.yaml"), "--optimizer.learning_rate", "3e-4", "--model.l2=1e-4"]
    config = parse_arguments(words).config
    assert (config.optimizer.learning_rate, config.train.epochs, config.model.l2) == (3e-4, 3, 1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--train.epoch", "3"], "did you mean 'train.epochs'"),
        (["--train.epochs", "three"], "'three' is not a whole number"),
        (["--train.epochs", "0"], "at least 1"),
        (["--optimizer.learning_rate", "nan"], "out of range"),
        (["--name", "x" * 300], "cannot name a folder"),
    ],
)
def test_a_wrong_command_line_ends_with_code_2_and_one_message(words, said, capsys):
    assert run_job("Job", words, lambda arguments: 0) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert len(shown.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("dashes", "underscores"),
    [
        (["--dry-run"], ["--dry_run"]),
        (["--train.batch-size", "64"], ["--train.batch_size", "64"]),
        (["--optimizer.learning-rate=3e-4"], ["--optimizer.learning_rate=3e-4"]),
        (["--run.storage-path", "a-b"], ["--run.storage_path", "a-b"]),
        ([*OWN, "--model.args.hidden-units", "-3"], [*OWN, "--model.args.hidden_units", "-3"]),
        (["--search.num-trials", "7"], ["--search.num_trials", "7"]),
    ],
)
def test_dashes_in_an_option_stand_for_underscores(dashes, underscores):
    as_dashes, as_underscores = (parse_arguments(words, ("search",), DRY) for words in (dashes, underscores))
    assert as_dashes == as_underscores != parse_arguments([], ("search",), DRY)


def test_a_misspelt_option_with_dashes_is_shown_as_it_was_given():
    with pytest.raises(RequestError, match=r"--train\.batch-sizes: no such field; did you mean 'train\.batch_size'"):
        parse_arguments(["--train.batch-sizes", "3"])
    assert "--dry-run" in help_text("Job", (), DRY)


@pytest.mark.parametrize(
    "name",
    ["..", "x/y", "/x", "x..", "１"],
)  # fmt: skip
def test_a_name_that_would_leave_the_results_or_hide_in_them_is_refused(name, capsys):
    assert run_job("Job", ["--name", name], lambda arguments: 0) == 2
    assert re.search(
        r"name: .*(cannot name a folder; allowed: 1 to 100 letters|is not a text)", capsys.readouterr().err
    )
    with pytest.raises(RequestError, match=r"^name: "):
        Config(name=name)


@pytest.mark.parametrize("name", ["a.b-c_d", "X" * 100])
def test_other_names_are_taken(name):
    assert parse_arguments(["--name", name]).config.job_name == name


def test_a_results_folder_in_a_home_of_nobody_is_refused(capsys):
    assert run_job("Job", ["--run.storage_path", "~nobody-of-that-name/x"], lambda arguments: 0) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: run.storage_path: ")
    assert "no home folder of that name; write the path without '~'" in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: [", "not valid YAML"),
        ("train:\n  epochs: 1\n  epochs: 2\n", "stands twice"),
        ("model: !!python/object/apply:os.system [ls]\n", "not valid YAML"),
    ],
)
def test_a_wrong_job_file_is_refused(tmp_path, text, said):
    (tmp_path / "job.yaml").write_text(text)
    with pytest.raises(RequestError, match=said):
        read_config(str(tmp_path / "job.yaml"), {})


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RequestError("train.epochs: 0 is out of range"), 2, "error: train.epochs: 0 is out of range"),
        (TrainingError("the loss is nan"), 1, "error: the loss is nan"),
        (StorageError("disk full"), 1, "error: disk full"),
        (OSError("disk full"), 1, "error: disk full"),
        (KeyboardInterrupt("It goes on."), 130, "interrupted. It goes on."),
        (KeyboardInterrupt(), 130, "interrupted."),
    ],
)
def test_every_end_has_its_exit_code_and_one_message(error, code, said, capsys):
    def fail():
        raise error

    assert exit_code(fail) == code
    shown = capsys.readouterr()
    assert shown.err.strip() == said
    assert shown.out == ""


def test_parsing_imports_nothing_heavy():
    script = (
        "import sys\nfrom nn_train.config.cli import run_job\n"
        "assert run_job('Job', ['--help'], lambda arguments: 0) == 0\n"
        "assert run_job('Job', ['--train.epoch', '3'], lambda arguments: 0) == 2\n"
        "heavy = {'tensorflow', 'keras', 'ray', 'numpy', 'pyarrow', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
