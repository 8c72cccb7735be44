"""Whether TensorFlow sees the GPUs that Ray counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nn_train.config.schema import ScalingConfig
from nn_train.doctor.findings import FAILED, NOT_APPLICABLE, Finding, judged
from nn_train.doctor.nodes import Node, ask

LOOK_FOR = 120.0  # seconds; the first import of TensorFlow on a machine reads a gigabyte
ADVICE = (
    "on that machine look at nvidia-smi (the driver), then install tensorflow[and-cuda] as requirements.lock has it: "
    "python -m pip install -e '.[gpu]'; in a container, run it with the GPUs (--gpus all, nvidia.com/gpu)"
)


def check_gpus(nodes: Sequence[Node], scaling: ScalingConfig) -> Finding:
    counted = {node.label: node.gpus for node in nodes if node.gpus}
    if not counted:
        return without_gpus(scaling)
    answers = ask([node for node in nodes if node.gpus], visible_gpus, limit=LOOK_FOR)
    complaints = [*answers.complaints(), *unseen(counted, answers.values)]
    return judged("gpus", complaints, f"TensorFlow sees all {sum(counted.values()):g}", ADVICE)


def without_gpus(scaling: ScalingConfig) -> Finding:
    """The finding where Ray counts none."""
    if not scaling.use_gpu:
        return Finding("gpus", NOT_APPLICABLE, ("Ray counts no GPU on any node",))
    advice = "start Ray on machines with GPUs (ray start finds them, or --num-gpus), or set scaling.use_gpu to false"
    return Finding("gpus", FAILED, ("scaling.use_gpu is true, and Ray counts no GPU on any node",), advice)


def visible_gpus() -> int:
    """How many TensorFlow sees on this machine: in a process of its own, since Ray hides them from one without any."""
    import os
    import subprocess
    import sys

    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "2"
    code = "import tensorflow as tf; print('GPUs', len(tf.config.list_physical_devices('GPU')))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or f"python ended with {done.returncode}").splitlines()[-1])
    return int(done.stdout.split()[-1])


def unseen(counted: Mapping[str, float], seen: Mapping[str, int]) -> list[str]:
    """A line for every node on which TensorFlow sees fewer GPUs than Ray counts; a share of one is one."""
    return [
        f"{label}: Ray counts {counted[label]:g}, TensorFlow sees {number}"
        for label, number in seen.items()
        if number < counted[label]
    ]
