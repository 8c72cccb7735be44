"""``nn-train run``: a script of several workers does what ``python script`` does, and ends as it does."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from process_tree import tree_of
from tiers import long

from nn_train.errors import RequestError
from nn_train.run.arguments import Asked, read_arguments
from nn_train.run.environment import environments, gpus_here
from nn_train.run.launcher import GRACE, PATIENCE, cause, deadline
from nn_train.run.script import LOST

RUN = ["-m", "nn_train.run"]
TIMEOUT = 120  # seconds
NOISE = re.compile(r"^([IWE]0000 |WARNING: All log|To enable the following).*\n", re.MULTILINE)  # TensorFlow's

TRAIN = """
import argparse
import json

import keras
import numpy as np
import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--url")
tf.config.threading.set_intra_op_parallelism_threads(1)
keras.utils.set_random_seed(3)
with np.load(keras.utils.get_file("numbers.npz", parser.parse_args().url, cache_dir="cache")) as file:
    x, y = file["x"], file["y"]
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
rows = tf.data.Dataset.from_tensor_slices((x[:90], y[:90])).shuffle(90).batch(20)
best = keras.callbacks.ModelCheckpoint("best.keras")
history = model.fit(rows, epochs=parser.parse_args().epochs, validation_data=(x[90:], y[90:]), callbacks=[best])
model.save_weights("last.weights.h5")
model.save("last.keras")
print("history", json.dumps(history.history), keras.models.load_model("last.keras").count_params())
"""
FAIL = """
import keras
import numpy as np


def average(rows):
    return sum(rows) / len([])


model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0)
average([1])
"""
FAIL_ALONE = """
import keras
import numpy as np

import nn_train

strategy = keras.src.utils.module_utils.tensorflow.distribute.MultiWorkerMirroredStrategy()
with strategy.scope():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0)
if not nn_train.is_chief():
    raise OSError("unable to lock file")
nn_train.fit(model, np.ones((8, 2)), np.ones((8, 1)), verbose=0)
"""
LONG = """
import subprocess
import keras
import numpy as np

subprocess.Popen(["sleep", "600"])
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
print("begins")
try:
    model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0, epochs=10**6)
except KeyboardInterrupt:
    model.save("saved.keras")
    raise
"""
KILLED = """
import os, time, nn_train
time.sleep(600) if nn_train.is_chief() else os.abort()
"""
CHECKED = """
import sys

import keras
import numpy as np


class Own(keras.layers.Layer):
    def call(self, x):
        return x - keras.ops.mean(x, axis=0) if sys.argv[1] == "rows" else x - 1


keras.utils.set_random_seed(0)
layers = [keras.layers.Dense(4), Own(), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
model = keras.Sequential([keras.Input((2,)), *layers])
model.compile("adam", "mse", metrics=["mae"])
model.fit(np.random.normal(size=(80, 2)), np.ones((80, 1)), batch_size=50)
print("trained")
"""
TELL = """
import atexit, os, pickle, sys

class Own:
    pass

assert isinstance(pickle.loads(pickle.dumps(Own())), Own)
names = (__name__, __file__, __package__, __cached__, __spec__ and __spec__.name, type(__loader__).__name__)
print(names, sys.argv, sys.path, os.getcwd(), sorted(globals()))
atexit.register(lambda: print(sys.modules["__main__"].Own.__name__))
"""
MISTAKES = """
def inner():
    try:
        {}["a"]
    except KeyError:
        raise ValueError("two\\nlines")

inner()
"""
SCRIPTS = {"train": TRAIN, "fail": FAIL, "fail_alone": FAIL_ALONE, "long": LONG, "killed": KILLED, "tell": TELL}
SCRIPTS |= {"checked": CHECKED}
SCRIPTS |= {
    "mistakes": MISTAKES,
    "wrong": "x = = 1",
    "three": "raise SystemExit(3)",
    "text": "raise SystemExit('no')",
}
SCRIPTS |= {
    "interrupted": "raise KeyboardInterrupt",
    "starts": "import subprocess\nprint(subprocess.Popen(['sleep', '600']).pid)",
    "hook": "import sys; sys.excepthook = lambda kind, *_: print(kind)\n1 / 0",
}
SCRIPTS |= {"package/__init__": "", "package/__main__": TELL, "package/module": f"from . import other\n{TELL}"}
SCRIPTS |= {"package/other": "", "package/broken": "import package.wrong", "package/wrong": "1 / 0"}


@pytest.fixture
def scripts(tmp_path):
    """A folder of scripts, in which they are run."""
    for name, text in SCRIPTS.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def run(folder, *words):
    """Return the exit code of Python, and what it said on both streams."""
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
    return done.returncode, done.stdout, NOISE.sub("", done.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ["tell.py", "--workers", "-m", ""],
        ["./package/../tell.py"],
        ["-m", "package.module", "--help"],
        ["-m", "package"],
        ["mistakes.py"],
        ["wrong.py"],
        ["three.py"],
        ["text.py"],
        ["interrupted.py"],
        ["hook.py"],
    ],
    ids=" ".join,
)
def test_a_script_sees_and_ends_what_python_shows_it(scripts, words):
    code, out, err = run(scripts, *words)
    assert run(scripts, *RUN, "--workers", "1", *words) == (code % 256 if code != -signal.SIGINT else 130, out, err)
    assert out or err or code


@pytest.mark.parametrize(
    ("words", "code", "last"),
    [
        (["-m", "package.broken"], 1, "ZeroDivisionError: division by zero"),
        (["-m", "absent"], 1, "No module named absent"),
        (["absent.py"], 2, "error: absent.py: there is no such file; a module is given as -m MODULE"),
        (["--worker", "2", "tell.py"], 2, "error: unrecognized arguments: --worker"),
        (["--workers", "0", "tell.py"], 2, "error: --workers: 0 is less than 1"),
        (["-m"], 2, "error: no script is given: "),
        (["--check", "tell.py"], 2, "error: --workers: 1 is less than 2"),
    ],
)
def test_what_cannot_be_run_is_told_in_the_last_line(scripts, words, code, last):
    found, _, said = run(scripts, *RUN, "--workers", "1", *words)
    assert found == code
    assert last in said.splitlines()[-1]
    assert "nn_train" not in said.partition("usage")[0].replace("nn_train.run", "")


def test_the_launcher_imports_neither_tensorflow_nor_ray(scripts):
    code = "import sys; from nn_train.run.command import main; main(['--workers', '1', 'three.py'])\n"
    code += "print({'tensorflow', 'keras', 'ray', 'numpy'} & set(sys.modules))"
    assert run(scripts, "-c", code)[:2] == (0, "set()\n")


class Files(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and counts what is asked for."""

    asked = 0

    def do_GET(self):
        Files.asked += 1
        super().do_GET()

    def log_message(self, *words):
        pass


@pytest.fixture
def url(tmp_path_factory):
    """The address of a file of examples."""
    folder = tmp_path_factory.mktemp("served")
    x = np.random.default_rng(0).normal(size=(110, 6)).astype("float32")
    np.savez(folder / "numbers.npz", x=x, y=(x[:, 0] > 0) + (x[:, 1] > 1))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/numbers.npz"
        server.shutdown()


@pytest.mark.dist
def test_two_workers_come_to_the_numbers_of_one_and_leave_the_same_files(scripts, url):
    words = ["train.py", "--epochs", "2", "--url", url]
    for folder in ("one/cache", "cache"):
        (scripts / folder).mkdir(parents=True)
    code, alone, _ = run(scripts / "one", "../train.py", *words[1:])
    assert code == 0
    Files.asked = 0
    code, said, err = run(scripts, *RUN, "--all-output", *words)
    assert code == 0, err
    assert Files.asked == 1  # by one of the workers; the other finds it
    histories = [[line for line in text.splitlines() if line.startswith("history")] for text in (alone, said)]
    assert [len(lines) for lines in histories] == [1, 1]
    ours, theirs = (json.JSONDecoder().raw_decode(lines[0][8:])[0] for lines in histories)
    assert ours.keys() == theirs.keys() == {"accuracy", "loss", "val_accuracy", "val_loss"}
    for name, values in theirs.items():
        assert ours[name] == pytest.approx(values, abs=1e-6)
    assert largest_difference(scripts / "one" / "last.weights.h5", scripts / "last.weights.h5") < 1e-6
    others = [line for line in err.splitlines() if line.startswith("[1] ")]
    assert sum(line.startswith("[1] history") for line in others) == 1
    assert not any("Epoch 1/2" in line for line in others)  # they train together: one of them tells of it
    files = {path.name for path in scripts.iterdir() if not path.name.endswith((".py", "one", "package"))}
    assert files == {"best.keras", "last.keras", "last.weights.h5", "cache"} | {"__pycache__"} & files


def largest_difference(one, other):
    found = []
    with h5py.File(one) as first, h5py.File(other) as second:
        first.visititems(lambda name, of: found.append(second[name][()] - of[()]) if hasattr(of, "dtype") else None)
    assert len(found) > 4
    return max(np.abs(difference).max() for difference in found)


@pytest.mark.dist
def test_a_mistake_of_all_workers_is_shown_once_as_python_shows_it(scripts):
    code, out, said = run(scripts, *RUN, "fail.py")
    assert (code, out) == (1, "")
    assert said.count("Traceback") == said.count("ZeroDivisionError: division by zero\n") == 1
    assert re.findall(r'File "(.*)", line (\d+)', said) == [(f"{scripts}/fail.py", "13"), (f"{scripts}/fail.py", "7")]


@pytest.mark.dist
@pytest.mark.parametrize(
    ("words", "code", "shown", "seconds"),
    [
        (["fail_alone.py"], 1, "\nOSError: unable to lock file\n", 0),
        (["killed.py"], 128 + signal.SIGABRT, "error: worker 1 was ended by SIGABRT\n", GRACE),
    ],
)
def test_a_worker_that_fails_alone_ends_the_others_and_is_shown(scripts, words, code, shown, seconds):
    began = time.monotonic()
    found, _, said = run(scripts, *RUN, *words)
    assert found == code, said
    assert said.count(shown) == 1
    assert said.count("Traceback") == shown.count("OSError")
    assert time.monotonic() - began < seconds + 60


@pytest.mark.dist
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), long(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_nothing_stays_behind_when_the_launcher_is_ended(scripts, number, code):
    command = [sys.executable, *RUN, "long.py"]
    # A shell that starts tests in the background lets them ignore this signal; the launcher must not inherit that.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    with subprocess.Popen(command, cwd=scripts, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **heard) as launcher:
        assert launcher.stdout.readline() == b"begins\n"
        processes = tree_of(launcher.pid)
        assert len(processes) >= 4  # two workers, of which one at least has a child already
        launcher.send_signal(number)
        assert launcher.wait(GRACE + 15) == code
        left = [one for one in processes if waits(lambda one=one: not runs(one)) is False]
        for one in left:
            os.kill(one, signal.SIGKILL)
    assert left == []
    assert (scripts / "saved.keras").exists() == (number == signal.SIGINT)


def test_what_a_script_has_started_ends_with_it(scripts):
    code, process, _ = run(scripts, *RUN, "--workers", "1", "starts.py")
    assert code == 0
    assert not runs(int(process))


@pytest.mark.dist
@pytest.mark.parametrize(
    ("way", "code", "told"),
    [
        (
            "alone",
            0,
            [
                r"loss      (\d+\.\d+), \1\d* ",
                "gradient  4 arrays of up to ",
                r"metrics   mae (\d\.\d+), \1",
                "50 rows",
            ],
        ),
        ("rows", 2, ["error: train_step: 2 workers, of which each computes its rows of a batch, do not come to what"]),
    ],
)
def test_a_check_compares_one_step_and_trains_nothing(scripts, way, code, told):
    found, out, err = run(scripts, *RUN, "--check", "checked.py", way)
    assert found == code, err
    assert "trained\n" not in out.replace("nothing was trained\n", "")
    shown = [line for line in (out + err).splitlines() if not line.startswith("Epoch")]
    assert len(shown) == len(told), shown
    for line, expected in zip(shown, told, strict=True):
        assert re.search(expected, line)


def runs(process):
    """Return whether a process is there, and is not one that only nobody has waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def waits(condition, seconds=5.0):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


TWO = ["127.0.0.1:1", "127.0.0.1:2"]


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (2, "1"), (5, "2"), (16, "8")])
def test_each_worker_has_its_share_of_the_cores_and_its_place(cores, threads):
    found = environments({"HOME": "/x"}, TWO, cores, [])
    assert [json.loads(one.pop("TF_CONFIG"))["task"]["index"] for one in found] == [0, 1]
    assert found[0] == found[1]
    assert int(found[0].pop("PYTHONHASHSEED")) >= 0
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    assert found[0] == {"HOME": "/x", **dict.fromkeys(names, threads)}


@pytest.mark.parametrize(
    ("gpus", "given"),
    [
        ([], [None, None]),
        (["3", "5"], ["3", "5"]),
        (["0", "1", "2"], ["0", "1"]),
        (["GPU-a", "MIG-b"], ["GPU-a", "MIG-b"]),
    ],
)
def test_each_worker_gets_one_gpu(gpus, given):
    assert [one.get("CUDA_VISIBLE_DEVICES") for one in environments({}, TWO, 2, gpus)] == given


def test_what_is_given_wins_and_what_cannot_be_shared_is_refused():
    given = {"OMP_NUM_THREADS": "7", "PYTHONHASHSEED": "0"}
    assert given.items() <= environments(given, TWO, 2, [])[1].items()
    assert environments({"A": "b"}, TWO[:1], 2, ["0", "1"]) == [{"A": "b"}]
    with pytest.raises(RequestError, match="each of 2 takes one GPU, and there are 1"):
        environments({}, TWO, 2, ["0"])
    with pytest.raises(RequestError, match="TF_CONFIG: is set"):
        environments({"TF_CONFIG": "{}"}, TWO, 2, [])


@pytest.mark.parametrize(("visible", "gpus"), [("", []), ("-1", []), ("2,0", ["2", "0"]), ("1,-1,2", ["1"])])
def test_gpus_are_those_that_the_environment_names(visible, gpus):
    assert gpus_here({"CUDA_VISIBLE_DEVICES": visible}) == gpus


@pytest.mark.parametrize(
    ("ended", "failed"),
    [
        ([(1, 0), (0, 0)], (0, 0)),
        ([(1, 1), (0, 1)], (0, 1)),  # a mistake of all: the chief has shown it
        ([(1, 1), (0, LOST)], (1, 1)),
        ([(2, -9), (1, LOST), (0, LOST)], (2, -9)),
        ([(2, 3), (1, 1), (0, 0)], (2, 3)),
        ([(0, LOST), (1, 0)], (0, 1)),
    ],
)
def test_the_worker_that_failed_first_is_found(ended, failed):
    assert cause(ended) == failed


NEVER = float("inf")


@pytest.mark.parametrize(
    ("failures", "end_of_chief", "interrupts", "expected"),
    [
        ([], NEVER, [], NEVER),
        ([], 10.0, [], NEVER),  # the chief is done, and another one works
        ([20.0, 10.0], 20.0, [], 10.0 + GRACE),
        ([11.0], NEVER, [10.0], 10.0 + PATIENCE),  # the chief may be saving its model
        ([11.0, 12.0], 12.0, [10.0], 12.0 + GRACE),
        ([], NEVER, [10.0, 13.0], 13.0),  # again: at once
    ],
)
def test_workers_that_are_left_get_time_to_end(failures, end_of_chief, interrupts, expected):
    assert deadline(failures, end_of_chief, interrupts) == expected


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["--workers", "3", "-m", "a.b", "--workers", "4"], Asked(["-m", "a.b", "--workers", "4"], workers=3)),
        (["--all-output", "--workers=4", __file__, "-m"], Asked([__file__, "-m"], workers=4, all_output=True)),
        ([__file__], Asked([__file__])),
    ],
)
def test_options_before_the_script_are_the_launchers_and_all_behind_it_the_scripts(words, asked):
    assert read_arguments(words) == asked
