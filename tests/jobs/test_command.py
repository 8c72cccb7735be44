"""``nn-train JOB …`` and ``--config PRESET``: what it says, and that nothing heavy is imported for it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from nn_train import __version__
from nn_train.config import read_config
from nn_train.config.cli import command_of
from nn_train.errors import RequestError
from nn_train.events import About, EpochEnded, Line, Warned
from nn_train.jobs import command


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 0, "nn-train JOB"),
        (["--version"], 0, __version__),
        (["trian"], 2, "'trian': is no job; known: train, tune, evaluate, predict, pipeline, doctor, run, submit; did"),
        (["train", "--model.units", "3"], 2, "What a function or class takes by name is model.args.units"),
        (["train", "--config", "mnist_cmn"], 2, "no preset of that name; did you mean 'mnist_cnn'?; presets: mnist, "),
        (["submit", "--help"], 0, "  nn-train submit JOB [OPTION ...]"),
        (["run", "--help"], 0, "nn-train run [OPTION ...] (SCRIPT.py | -m MODULE) [WORD ...]"),
    ],
)
def test_what_the_command_says(monkeypatch, capsys, words, code, said):
    monkeypatch.setattr(sys, "argv", ["nn-train", *words])
    assert code_of(command.main) == code
    printed = capsys.readouterr()
    assert said in (printed.err if code else printed.out)


def code_of(main):
    """What ``main`` gives, or exits with: argparse does, for help."""
    try:
        return main()
    except SystemExit as ended:
        return ended.code


def test_a_file_of_the_name_of_a_preset_is_taken_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_config("mnist_cnn", {}).model.name == "cnn"
    (tmp_path / "mnist_cnn").write_text("model: {hidden_units: 7}")
    assert read_config("mnist_cnn", {}).model.hidden_units == 7
    (tmp_path / "mnist_cnn").write_bytes(b"\xff")
    with pytest.raises(RequestError, match="--config mnist_cnn: cannot be read: it is not text in UTF-8"):
        read_config("mnist_cnn", {})


@pytest.mark.parametrize(("module", "said"), [("jobs.train", "python -m jobs.train"), ("pytest", "nn-train train")])
def test_a_hint_is_written_as_this_process_was_started(monkeypatch, module, said):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", type("Spec", (), {"name": module}))
    assert command_of("train") == said


def test_modules_of_the_folder_it_is_started_in_are_found_by_the_script_too(tmp_path, monkeypatch):
    (tmp_path / "mine_by_script.py").write_text("def build(): pass")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "argv", ["nn-train", "train", "--data.source", "mine_by_script:biuld", "--name", "x"])
    assert command.main() == 2
    assert str(tmp_path) in sys.path


@pytest.mark.parametrize("job", ["train", "tune"])
def test_quiet_prints_warnings_and_where_the_results_are(monkeypatch, capsys, job):
    def run(config, on_event, verbose):
        on_event(EpochEnded(row={"epoch": 1}, epochs=1, warnings=("the disk is nearly full",)))
        on_event(Line("starting"))
        on_event(About(config, Warned("trial 3 has no metric")))
        return SimpleNamespace(folder="results/mine")

    monkeypatch.setattr(command.calls, job, run)
    assert command.JOBS[job](["--quiet"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "results/mine\n"
    assert printed.err == "warning: the disk is nearly full\nwarning: trial 3 has no metric\n"


@pytest.mark.parametrize("quiet", [[], ["--quiet"]], ids=["told", "quiet"])
def test_an_evaluation_takes_dashes_and_is_quiet_where_asked(monkeypatch, capsys, quiet):
    def evaluate_runs(runs, output, scaling, say, verbose, source):
        say(f"{scaling.num_workers} workers")
        say("warning: changed")
        return output / "report.html"

    monkeypatch.setattr("nn_train.prediction.driver.evaluate_runs", evaluate_runs)
    words = ["--runs", "results/a", "--output", "report", "--scaling.num-workers", "3", *quiet]
    assert command.evaluate(words) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [*([] if quiet else ["3 workers", "warning: changed"]), "report/report.html"]
    assert printed.err == ("warning: changed\n" if quiet else "")


@pytest.mark.parametrize("start", [["-m", "nn_train.jobs", "train"]])
def test_a_mistake_is_said_without_tensorflow_and_ray(start):
    watch = "import atexit, runpy, sys; heavy = {'ray', 'tensorflow', 'keras', 'numpy'}\n"
    watch += "atexit.register(lambda: print(heavy & set(sys.modules) or 'none'))\n"
    watch += "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
    words = [*start[1:], "--train.epoch", "3"]
    done = subprocess.run([sys.executable, "-c", watch, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == "none\n"
