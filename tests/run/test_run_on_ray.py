"""``nn-train run --address``: a script on a Ray cluster, whose workers are placed and replaced as those of a job."""

from __future__ import annotations

import subprocess
import sys

import h5py
import pytest
from ray_nodes import cluster_of
from tiers import long

pytestmark = pytest.mark.ray
TIMEOUT = 180  # seconds
KILLED = """
import json
import os
import signal
import sys

import keras
import numpy as np

rank = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]["index"]
with open(f"worker-{rank}", "w") as file:
    file.write(str(os.getppid()))


class Kill(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print("epoch", epoch)
        if "kill" in sys.argv and epoch == 2 and not os.path.exists("killed"):
            open("killed", "w").close()
            with open("worker-1") as file:
                os.kill(int(file.read()), signal.SIGKILL)


keras.utils.set_random_seed(3)
x = np.random.normal(size=(90, 6)).astype("float32")
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")
kept = keras.callbacks.BackupAndRestore("backup")
model.fit(x, x[:, :1], batch_size=20, epochs=6, shuffle=False, verbose=0, callbacks=[kept, Kill()])
model.save_weights("end.weights.h5")
"""
SCRIPTS = {"killed": KILLED, "fails": "import nn_train\nif not nn_train.is_chief():\n    raise OSError('only here')"}


@pytest.fixture(scope="module")
def address():
    """That of a Ray of two CPUs."""
    with cluster_of(head_cpus=2) as cluster:
        yield cluster.address


@pytest.fixture
def scripts(tmp_path):
    """A folder of scripts, in which they are run."""
    for name, text in SCRIPTS.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def run(folder, *words, code=0):
    """Return what Python says on both streams."""
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def weights(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, of: found.update({name: of[()]}) if isinstance(of, h5py.Dataset) else None)
    return found


def test_a_worker_that_is_lost_is_replaced_and_the_script_carries_on_to_the_same_weights(address, scripts):
    (scripts / "one").mkdir()
    run(scripts / "one", "../killed.py")
    words = ["-m", "nn_train.run", "--address", address, "--restarts", "1", "killed.py", "kill"]
    said, told = run(scripts, *words)
    epochs = [int(line.split()[1]) for line in said.splitlines() if line.startswith("epoch")]
    assert epochs == [0, 1, 2, 3, 4, 5]  # none is trained again: the last one was kept before its end was told
    assert told.count("worker 1 was lost: killed") == told.count("restarting (1 of 1)") == 1
    ours, theirs = weights(scripts / "end.weights.h5"), weights(scripts / "one/end.weights.h5")
    assert ours.keys() == theirs.keys()
    assert len(ours) > 4
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--workers", "3", "fails.py"], 2, "error: --workers: 3 workers of 1 CPU need 3 CPUs, the cluster has 2"),
        long(["--restarts", "2", "fails.py"], 1, "error: worker 1 failed\n"),
    ],
)
def test_what_cannot_be_placed_or_would_fail_again_is_told(address, scripts, words, code, told):
    _, said = run(scripts, "-m", "nn_train.run", "--address", address, *words, code=code)
    assert told in said
    assert said.count("Traceback") == said.count("\nOSError: only here\n") == (code == 1)
    assert "restarting" not in said
