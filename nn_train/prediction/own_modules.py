"""Code of the user's that a finished run needs again: sent to those who predict, or missed in one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nn_train.config.given import HERE, kept
from nn_train.config.options import is_entry_point
from nn_train.config.python_source import find_source
from nn_train.errors import RequestError
from nn_train.ray_cluster.parcels import pack
from nn_train.report.inputs.run_folders import RunFiles


def parcel_for(runs: Sequence[RunFiles], sources: Sequence[str] = ()) -> bytes:
    """What those who predict need besides the files of the runs.

    Args:
        runs: finished.
        sources: names of further functions.

    Raises:
        RequestError: a module is neither here nor where it was when the run was trained, or a function was given to
            another process.
    """
    names, folders = [*sources], dict.fromkeys(folder for run in runs for folder in folders_of(run))
    for run in runs:
        for field, name in names_of(run.config).items():
            check_there(run, field, name)
            names.append(name)
    return pack(names, list(folders))


def folders_of(run: RunFiles) -> list[str]:
    """Where its modules were found."""
    folders: list[str] = (run.result.get("code") or {}).get("folders", [])
    return folders


def names_of(config: dict[str, Any]) -> dict[str, str]:
    """The functions that make a run's model and data, by their fields."""
    pairs = {"model.name": ("model", "name"), "data.source": ("data", "source")}
    found = {field: (config.get(section) or {}).get(name) for field, (section, name) in pairs.items()}
    return {field: str(name) for field, name in found.items() if is_entry_point(name)}


def check_there(run: RunFiles, field: str, name: str) -> None:
    where = f"{run.config.get('name')}: {field}"
    if name.startswith(f"{HERE}:"):
        try:
            kept(name)
        except RequestError as error:
            raise RequestError(f"{where}: {error}") from None
        return
    top = name.partition(":")[0].partition(".")[0]
    folders = folders_of(run)
    here = find_source(top) or any((Path(f) / top).is_dir() or (Path(f) / f"{top}.py").exists() for f in folders)
    if not here and folders:
        raise RequestError(
            f"{where}: no module {top!r}; it was in {' or '.join(folders)} when the run was trained. Start this in the "
            "folder that has it, or set PYTHONPATH to that"
        )
