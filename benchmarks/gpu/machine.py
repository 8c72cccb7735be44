"""What is here: versions, cards, driver. ``python -m benchmarks.gpu.machine`` prints it as one line of JSON.

A process of its own asks TensorFlow, which would else hold memory of the cards that jobs are to use.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

SMI = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
SMI_WITHIN = 30.0  # seconds; a driver that is broken can hang


def look() -> dict[str, Any]:
    """``about`` of this machine, by a process that ends. RuntimeError where it fails, with the last line it said."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.gpu.machine"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or f"python ended with {done.returncode}").splitlines()[-1])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def about() -> dict[str, Any]:
    """Versions, the CUDA and cuDNN that TensorFlow was built with, and the cards that it and nvidia-smi see."""
    import tensorflow as tf

    from nn_train.runs.record import versions

    built = tf.sysconfig.get_build_info()
    return {
        "versions": versions(),
        "built_with": {name: built.get(f"{name}_version") for name in ("cuda", "cudnn")},
        "gpus": [tf.config.experimental.get_device_details(one) for one in tf.config.list_physical_devices("GPU")],
        "nvidia_smi": nvidia_smi(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
    }


def nvidia_smi() -> list[str]:
    """A line for each card: name, memory, driver; none where there is no driver that answers."""
    if shutil.which(SMI[0]) is None:
        return []
    try:
        done = subprocess.run(SMI, capture_output=True, text=True, timeout=SMI_WITHIN)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def why_no_gpu(found: Mapping[str, Any]) -> str | None:
    """In a line; None where TensorFlow sees one."""
    if found["gpus"]:
        return None
    if found["nvidia_smi"]:
        return (
            f"no GPU: nvidia-smi lists {found['nvidia_smi'][0]}, but TensorFlow {found['versions']['tensorflow']} sees "
            "none; install what it needs: python -m pip install -e '.[gpu]'"
        )
    return "no GPU: neither TensorFlow nor nvidia-smi sees one; run this on a machine that has one"


def cards(count: int, visible: str | None = None) -> list[str]:
    """What to put into CUDA_VISIBLE_DEVICES for each of ``count`` cards, of those that are ``visible`` already."""
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]


if __name__ == "__main__":
    print(json.dumps(about()))
