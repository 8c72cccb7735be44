"""How long it takes to train the CNN to 99 % on MNIST's test set, against the tutorial's own script.

    python -m benchmarks.time_to_accuracy [--json FILE]

``jobs.train --config mnist_cnn_fast`` for five seeds and, before the first, third and fifth, the
tutorial's script, which trains its five epochs and goes on until it has 99 %: each a fresh process, timed from the
command to its end, the script without the time for looking at the test set. The test accuracy of ``jobs.train`` is
measured afterwards, with plain Keras on the saved model. Shown are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

MNIST = str(files("nn_train.datasets") / "data" / "mnist.npz")
TUTORIAL = Path(__file__).parent / "scripts" / "tutorial_cnn.py"
CONFIG = Path(__file__).parents[1] / "nn_train" / "presets" / "mnist_cnn_fast.yaml"
SEEDS = 5
ACCURACY = 0.99  # at least, the median over the seeds
SHARE = 1 / 6  # of the tutorial's time, at most
EVALUATE = (
    "import sys, keras, numpy as np\n"
    "with np.load(sys.argv[1]) as a: x, y = a['x_test'][..., None] / np.float32(255), a['y_test']\n"
    "model = keras.models.load_model(sys.argv[2])\n"
    "print((model.predict(x, batch_size=500, verbose=0).argmax(axis=1) == y).mean())\n"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    fast: list[tuple[float, float]] = []  # seconds and test accuracy
    tutorial: list[tuple[float, float]] = []
    for seed in range(SEEDS):
        if seed % 2 == 0:
            seconds, (epochs, looked, accuracy) = timed([TUTORIAL, MNIST, str(seed)])
            tutorial.append((seconds - looked, accuracy))
            print(
                f"the tutorial's script, seed {seed} {seconds - looked:6.1f} s  {accuracy:.4f}, {epochs:g} epochs",
                flush=True,
            )
        with tempfile.TemporaryDirectory() as folder:
            words = ["--config", CONFIG, "--seed", str(seed), "--run.storage_path", folder, "--name", "fast"]
            seconds, _ = timed(["-m", "jobs.train", *words])
            _, (accuracy,) = timed(["-c", EVALUATE, MNIST, f"{folder}/fast/model.keras"])
        fast.append((seconds, accuracy))
        print(f"mnist_cnn_fast.yaml, seed {seed}   {seconds:6.1f} s  {accuracy:.4f}", flush=True)
    ours, theirs = (statistics.median(seconds for seconds, _ in runs) for runs in (fast, tutorial))
    accuracy, reference = (statistics.median(share for _, share in runs) for runs in (fast, tutorial))
    reached = accuracy >= ACCURACY and ours <= SHARE * theirs
    print()
    print(f"{'':24} {'seconds':>8} {'test accuracy':>14}")
    print(f"{'the tutorial script':24} {theirs:8.1f} {reference:14.4f}")
    print(f"{'mnist_cnn_fast.yaml':24} {ours:8.1f} {accuracy:14.4f}")
    print(
        f"1/{theirs / ours:.1f} of its time; at most 1/6 with at least {ACCURACY}: {'reached' if reached else 'MISSED'}"
    )
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        content = {"machine": machine, "fast": fast, "tutorial": tutorial, "ratio": theirs / ours, "accuracy": accuracy}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    return 0 if reached else 1


def timed(words: list[object]) -> tuple[float, list[float]]:
    """Seconds of a Python process, and the numbers in its last line."""
    began = time.perf_counter()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{words} failed:\n{done.stderr[-2000:]}")
    last = done.stdout.splitlines()[-1].split()
    return seconds, [float(word) for word in last if word.replace(".", "", 1).isdigit()]


if __name__ == "__main__":
    sys.exit(main())
