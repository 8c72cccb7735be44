"""What each worker is told by its environment: the others, and its share of the cores and GPUs."""

from __future__ import annotations

import glob
import random
from collections.abc import Mapping, Sequence

from nn_train.engine.addresses import tf_config
from nn_train.errors import RequestError

GPUS = "CUDA_VISIBLE_DEVICES"
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


def environments(
    given: Mapping[str, str], addresses: Sequence[str], cores: int, gpus: Sequence[str]
) -> list[dict[str, str]]:
    """Return the environment of each worker; of a single one, what is given. Raises RequestError.

    Args:
        given: of this process.
        addresses: of the workers.
        cores: of this machine, shared out where ``given`` says nothing of threads.
        gpus: of this machine, as CUDA_VISIBLE_DEVICES names them; each worker gets one.
    """
    count = len(addresses)
    if "TF_CONFIG" in given:
        raise RequestError("TF_CONFIG: is set; a process of a strategy runs the script itself, with nn_train.install()")
    if count == 1:
        return [dict(given)]
    if 0 < len(gpus) < count:
        raise RequestError(f"--workers: each of {count} takes one GPU, and there are {len(gpus)} ({GPUS}= hides them)")
    # Sets of texts have one order on all workers, so that classes get the same numbers.
    defaults = {name: str(max(1, cores // count)) for name in THREADS} | {"PYTHONHASHSEED": str(random.getrandbits(32))}
    shared = {**defaults, **given}
    own = [{"TF_CONFIG": tf_config(list(addresses), rank)} for rank in range(count)]
    return [shared | one | ({GPUS: gpus[rank]} if gpus else {}) for rank, one in enumerate(own)]


def gpus_here(given: Mapping[str, str]) -> list[str]:
    """Return the GPUs that a process of this environment sees."""
    if GPUS in given:
        return [name.strip() for name in given[GPUS].partition("-1")[0].split(",") if name.strip()]
    return [str(number) for number, _ in enumerate(glob.glob("/proc/driver/nvidia/gpus/*"))]
