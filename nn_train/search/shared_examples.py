"""The examples of a search, which its trials share: read once, by the driver or by a task on the cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from typing import Any

import ray

from nn_train.config import Config
from nn_train.config.options import is_entry_point
from nn_train.config.tracebacks import own_traceback
from nn_train.errors import RequestError, TrainingError
from nn_train.ray_cluster.placement import resources_per_worker
from nn_train.ray_cluster.serialization import unpack
from nn_train.runs.printed import LARGEST
from nn_train.search.compared import refuse_without_validation

LAST_LINES = 20  # of what a function had printed before it failed


def share_examples(config: Config, parcel: object) -> tuple[Any, dict[str, str], str]:
    """A reference to the examples in Ray's object store, which every node holds once; None for those not in memory.
    What is known of the files that they are in. What a function of the user's printed.

    Without the test examples: no trial can look at them.

    Raises:
        RequestError: trials are compared by validation examples, and there are none.
    """
    # Keras and a function of the user's import TensorFlow, which has no place in this process: those have another one.
    if not is_entry_point(config.data.source) and config.data.source != "fashion_mnist":
        from nn_train.datasets import load_data
        from nn_train.datasets.fingerprints import known

        whole = load_data(config.data)
        if whole.validation is None:
            refuse_without_validation(config)
        shared = ray.put(dataclasses.replace(whole, test=None)) if whole.in_memory else None
        return shared, known(whole, config.data), ""
    each = resources_per_worker(config.scaling)
    data, told = ray.remote(num_cpus=each["CPU"], num_returns=2, max_calls=1)(load_arrays).remote(config, parcel)
    in_memory, marks, printed = own_result(told)
    return (data if in_memory else None), marks, printed


def own_result(reference: object) -> Any:
    """What a task gives; where it raised, the error itself and not Ray's account of it."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, RequestError | TrainingError):
            raise error.cause from None
        raise TrainingError(f"a worker failed:\n{error}") from error


def load_arrays(config: Config, parcel: bytes) -> tuple[Any, tuple[bool, dict[str, str], str]]:
    """Training and validation examples where they are arrays; else None: each process reads for itself. Whether they
    are, by what they are known again, and what was printed meanwhile, which the error of a function that fails holds as
    well."""
    unpack(parcel)
    from nn_train.datasets.cache import load_for_run
    from nn_train.datasets.fingerprints import PARTS

    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            data = load_for_run(config.data, config.seed)
    except (RequestError, TrainingError):
        raise
    except Exception as error:
        lines = printed.getvalue().splitlines()[-LAST_LINES:]
        before = "\n".join(["\nIt had printed:", *lines]) if lines else ""
        raise TrainingError(f"data.source: {config.data.source} failed:\n{own_traceback(error)}{before}") from None
    if data.validation is None:
        refuse_without_validation(config)
    text = printed.getvalue()[-LARGEST:]
    # Not of files, whose times may be others on the machine where this runs the next time.
    marks = {name: mark for name, mark in data.fingerprint.items() if name in PARTS}
    return (dataclasses.replace(data, test=None) if data.in_memory else None), (data.in_memory, marks, text)
