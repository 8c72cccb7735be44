"""How long it takes to train the CNN to 99 % on MNIST's test set, against the tutorial's own script.

    python -m benchmarks.time_to_accuracy [--json FILE]

``jobs.train --config mnist_cnn_fast`` for five seeds, each followed by the same in float32, and, before the first,
third and fifth, the tutorial's script, which trains its five epochs and goes on until it has 99 %: each a fresh
process, timed from the command to its end, the script without the time for looking at the test set. The test accuracy
of ``jobs.train`` is measured afterwards, with plain Keras on the saved model. Shown are medians.

The preset computes in bfloat16. Whether that costs accuracy is asked of the five differences to the run in float32 of
the same seed: their mean, with the two-sided 95 % interval of Student's t for four degrees of freedom.
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
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

MNIST = str(files("nn_train.datasets") / "data" / "mnist.npz")
TUTORIAL = Path(__file__).parent / "scripts" / "tutorial_cnn.py"
CONFIG = Path(__file__).parents[1] / "nn_train" / "presets" / "mnist_cnn_fast.yaml"
SEEDS = 5
ACCURACY = 0.99  # at least, the median over the seeds
SCRIPT, FAST, EXACT = "the tutorial's script", "mnist_cnn_fast.yaml", "the same in float32"
SHARE = 0.12  # of the tutorial's time, at most
T_95 = 2.776  # Student's t for four degrees of freedom, 0.975 quantile
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
    runs = measured()
    print(f"\n{'':24} {'seconds':>8} {'test accuracy':>14}")
    for name, of_seeds in runs.items():
        print(f"{name:24} {median(of_seeds, 0):8.1f} {median(of_seeds, 1):14.4f}")
    share = median(runs[FAST], 0) / median(runs[SCRIPT], 0)
    lost = [in_float32 - in_bfloat16 for (_, in_float32), (_, in_bfloat16) in zip(runs[EXACT], runs[FAST], strict=True)]
    mean, half = statistics.mean(lost), T_95 * statistics.stdev(lost) / SEEDS**0.5
    verdicts = {
        f"{share:.3f} of the script's time; at most {SHARE}": share <= SHARE,
        f"accuracy of at least {ACCURACY}": median(runs[FAST], 1) >= ACCURACY,
        f"bfloat16 costs {100 * mean:.3f} ± {100 * half:.3f} % points, which may be none": mean <= half,
    }
    for what, reached in verdicts.items():
        print(f"{what}: {'reached' if reached else 'MISSED'}")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        content = {"machine": machine, "runs": runs, "share": share, "lost": [mean, half], "verdicts": verdicts}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    return 0 if all(verdicts.values()) else 1


def measured() -> dict[str, list[tuple[float, float]]]:
    """Seconds and test accuracy of every run."""
    runs: dict[str, list[tuple[float, float]]] = {SCRIPT: [], FAST: [], EXACT: []}
    for seed in range(SEEDS):
        if seed % 2 == 0:
            seconds, (_, looked, accuracy) = timed([TUTORIAL, MNIST, str(seed)])
            runs[SCRIPT].append((seconds - looked, accuracy))
        runs[FAST].append(trained(seed))
        runs[EXACT].append(trained(seed, "--train.precision", "float32"))
        for name, of_seeds in runs.items():
            if name != SCRIPT or seed % 2 == 0:
                print(f"seed {seed}  {name:24} {of_seeds[-1][0]:6.1f} s  {of_seeds[-1][1]:.4f}", flush=True)
    return runs


def median(runs: Sequence[tuple[float, float]], what: int) -> float:
    return statistics.median(run[what] for run in runs)


def trained(seed: int, *words: str) -> tuple[float, float]:
    """Seconds from the command to its end, and the accuracy on the test set, of the preset with ``words``."""
    with tempfile.TemporaryDirectory() as folder:
        place = ["--seed", str(seed), "--run.storage_path", folder, "--name", "fast"]
        seconds, _ = timed(["-m", "jobs.train", "--config", CONFIG, *place, *words])
        _, (accuracy,) = timed(["-c", EVALUATE, MNIST, f"{folder}/fast/model.keras"])
    return seconds, accuracy


def timed(words: Sequence[object]) -> tuple[float, list[float]]:
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
