"""``result.json``: what became of a run, and what made it."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_train.config import Config
from nn_train.config.entry_points import function_of
from nn_train.config.options import OWNERS, is_entry_point, is_plain
from nn_train.config.schema import DataConfig, ModelConfig
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import RESULT

if TYPE_CHECKING:
    import keras

    from nn_train.datasets import SplitData
    from nn_train.engine.loop import Loop


History = list[dict[str, Any]]  # a row per epoch, as in metrics.jsonl
NO_CODE: Mapping[str, Any] = {"modules": {}, "folders": [], "commit": None}


def finished_record(
    config: Config,
    history: History,
    data: SplitData,
    model: keras.Model,
    world_size: int,
    command: tuple[str, ...],
    started_at: float,
    finished_at: float | None = None,
    code: Mapping[str, Any] = NO_CODE,
    read: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of ``result.json`` of a finished run; its fields are described in ``docs/run-folder.md``.

    Args:
        history: at least one row.
        data, model: what was trained on, and what.
        command: the command line that started the job.
        started_at, finished_at: when, in seconds since 1970; it ended now if ``finished_at`` is None.
        code: of the user's, as ``own_code`` gives it.
        read: what the workers read by rows, if they did: see ``BytesRead``.
    """
    best, classes = best_epoch(history), data.num_classes
    finished = time.time() if finished_at is None else finished_at
    return {
        "schema": 1,
        "name": config.job_name,
        "status": "finished",
        "best_epoch": best,
        "epochs": len(history),
        "metrics": {"best": history[best - 1], "final": history[-1]},
        "seed": config.seed,
        "data": {
            "source": config.data.source,
            "sha256": data.sha256,
            "fingerprint": data.fingerprint,
            "read": dict(read) if read is not None else None,
            "examples": sizes(data),
            "num_classes": classes,
            "class_names": names_of_classes(data),
            "divisor": data.divisor,
        },
        "model": {"name": config.model.name, "parameters": model.count_params()},
        "arguments": all_arguments(config.model, config.data),
        "code": dict(code),
        "versions": versions(),
        "command": list(command),
        "wall_seconds": round(finished - started_at, 3),
        "world_size": world_size,
        "device": "GPU" if config.scaling.use_gpu else platform.processor() or platform.machine(),
        "started_at": iso_time(started_at),
        "finished_at": iso_time(finished),
    }


class BytesRead:
    """What this process reads from now on, for ``result.json``.

    Args:
        loop: whose steps wait for what is read.
        epochs: that are behind.
    """

    def __init__(self, loop: Loop, epochs: int) -> None:
        self.loop, self.epochs, self.bytes = loop, epochs, bytes_read()

    def record(self, epochs: int) -> dict[str, Any] | None:
        """Return the sums of all workers after so many epochs in all; None where nothing is read by rows. Collective.

        Bytes are those that the kernel counted for the workers' processes, whatever they read. A process that took over
        from another knows nothing of what that one read, so ``epochs`` says for how many epochs the numbers are.
        """
        if self.loop.waited is None:
            return None
        from nn_train.engine.collectives import sum_over_all

        now, replicas = bytes_read(), self.loop.replicas
        own = [0.0, 0.0] if now is None or self.bytes is None else [float(now - self.bytes), 1.0]
        own.append(self.loop.waited)
        count, known, waited = sum_over_all(own, replicas)
        return {
            "bytes": int(count) if known == replicas.size else None,
            "seconds_waited": round(waited / replicas.size, 3),
            "workers": replicas.size,
            "epochs": epochs - self.epochs,
        }


def bytes_read() -> int | None:
    """Return what this process has read, of files and pipes; None where the kernel does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/io").read_text().splitlines():
            if line.startswith("rchar: "):
                return int(line.partition(": ")[2])
    return None


def all_arguments(model: ModelConfig, data: DataConfig) -> dict[str, dict[str, Any]]:
    """``model.args`` and ``data.args`` of functions of the user's, with the defaults of these."""
    args = {"model.args": (model.name, model.args), "data.args": (data.source, data.args)}
    return {
        owner: with_defaults(function_of(OWNERS[owner][0], name), given, OWNERS[owner][1])
        for owner, (name, given) in args.items()
        if is_entry_point(name)
    }


def with_defaults(function: Callable[..., Any], given: Mapping[str, Any], offered: Collection[str]) -> dict[str, Any]:
    """Return ``given``, and the plain values that the function has by itself; those JSON knows."""
    parameters = inspect.signature(function).parameters.values()
    own = {one.name: one.default for one in parameters if one.default is not one.empty and one.name not in offered}
    return {name: value for name, value in {**own, **given}.items() if is_plain(value) and is_json(value)}


def is_json(value: object) -> bool:
    """Return False for numbers that are infinite or NaN, which JSON does not know."""
    try:
        return bool(json.dumps(value, allow_nan=False))
    except ValueError:
        return False


def names_of_classes(data: SplitData) -> list[str] | None:
    """Those of the source, or the labels themselves; None where there are no classes."""
    if data.class_names is not None:
        return list(data.class_names)
    return [str(label) for label in range(data.num_classes)] if data.num_classes else None


def failed_record(
    name: str, seed: int, error: Exception, command: tuple[str, ...], started_at: float
) -> dict[str, Any]:
    """The content of ``result.json`` of a run that ended with an error; the same command goes on with it."""
    finished = time.time()
    return {
        "schema": 1,
        "name": name,
        "status": "failed",
        "cause": str(error),
        "next": "the same command goes on from the last checkpoint, once the cause is mended",
        "seed": seed,
        "versions": versions(),
        "command": list(command),
        "wall_seconds": round(finished - started_at, 3),
        "started_at": iso_time(started_at),
        "finished_at": iso_time(finished),
    }


def read_finished(folder: ResultsFolder) -> dict[str, Any] | None:
    """``result.json`` of a finished run; None where it is not there, or says that the run failed."""
    record = folder.read_json(RESULT)
    return record if record is not None and record.get("status") == "finished" else None


def sizes(data: SplitData) -> dict[str, int | None]:
    """How many examples each part has; None where a stream does not tell."""
    found = {name: getattr(getattr(data, name), "size", None) for name in ("train", "validation", "test")}
    return {name: None if size is None else int(size) for name, size in found.items()}


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    found = {"python": sys.version.split()[0]}
    for package in ("tensorflow", "keras", "ray", "numpy", "nn_train"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            import nn_train

            found[package] = nn_train.__version__
    return found


def iso_time(seconds: float) -> str:
    """UTC in ISO 8601, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def command_line() -> tuple[str, ...]:
    """How this process was started: with ``python -m`` where that was used, else the script's name."""
    spec, script = getattr(sys.modules["__main__"], "__spec__", None), os.path.basename(sys.argv[0])
    module = ("python", "-m", spec.name.removesuffix(".__main__")) if spec is not None else None
    return (*(module or (("python", script) if script.endswith(".py") else (script,))), *sys.argv[1:])


def best_epoch(history: History) -> int:
    """The epoch (counted from 1) with the lowest ``val_loss``, the first of equals.

    Without validation it is the last epoch: nothing that was not trained on can tell them apart.
    """
    if "val_loss" not in history[-1]:
        return len(history)
    return min(range(len(history)), key=lambda i: history[i]["val_loss"]) + 1


def should_stop(history: History, patience: int | None) -> bool:
    """Whether ``patience`` epochs have passed since the best one."""
    return patience is not None and bool(history) and len(history) - best_epoch(history) >= patience
