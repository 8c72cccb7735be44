"""One script with Ray's ``TensorflowTrainer``: as it is, on the legacy Keras, and with ``nn_train.fit``; in one run.

    python -m benchmarks.keras_script [--json FILE]

The script is ``benchmarks/scripts/tensorflow_trainer.py``: the MLP on MNIST, a global batch of 128, two workers. The
ways take turns, ROUNDS times, in fresh processes. Shown is the median over the epochs of all rounds, the first of each
round (tracing) left out; or the error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from nn_train.datasets.sources import read_mnist

ROUNDS = 3
SCRIPT = Path(__file__).parent / "scripts" / "tensorflow_trainer.py"
IMPORT, CALL = "    import keras\n", "    model.fit(x, y, "

# By the name of a way, what is changed in the script.
WAYS: dict[str, dict[str, str]] = {
    "Keras 3, model.fit": {},
    "tf_keras (legacy), model.fit": {IMPORT: "    import tf_keras as keras\n"},
    "Keras 3, nn_train.fit": {
        IMPORT: "    import keras\n    import nn_train\n",
        CALL: "    nn_train.fit(model, x, y, ",
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    rounds: dict[str, list[Any]] = {way: [] for way in WAYS}
    for turn in range(1, ROUNDS + 1):
        for way, changes in WAYS.items():
            rounds[way].append(run(changes))
            print(f"round {turn} of {ROUNDS}  {way:32} {shown(rounds[way][-1:])}", flush=True)
    print()
    for way, measured in rounds.items():
        print(f"{way:32} {shown(measured)}")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        arguments.json.write_text(json.dumps({"machine": machine, "ways": rounds}, indent=2) + "\n")
    return 0


def run(changes: dict[str, str]) -> list[list[float]] | str:
    """Seconds and accuracy of each epoch after the first; or the error."""
    text = SCRIPT.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.py"
        script.write_text(text)
        np.savez(Path(folder) / "mnist.npz", **read_mnist())  # type: ignore[arg-type]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "2"}
        done = subprocess.run(
            [sys.executable, str(script), folder], env=environment, capture_output=True, text=True, timeout=900
        )
        if done.returncode == 0:
            epochs: list[list[float]] = json.loads((Path(folder) / "epochs.json").read_text())
            return epochs[1:]
        return re.findall(r"\w+Error: [^\x1b\n]+", done.stdout + done.stderr)[-1][:200]


def shown(rounds: list[Any]) -> str:
    failed = [one for one in rounds if isinstance(one, str)]
    if failed:
        return f"fails: {failed[0]}"
    epochs = [epoch for one in rounds for epoch in one]
    seconds = statistics.median(epoch[0] for epoch in epochs)
    return f"{seconds:6.2f} s an epoch, accuracy {epochs[-1][1]:.4f}"


if __name__ == "__main__":
    sys.exit(main())
