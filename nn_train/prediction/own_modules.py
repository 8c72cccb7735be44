"""Code of the user's that finished runs need again: sent to those who predict, or missed in one line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_train.config.entry_points import kept
from nn_train.config.function_digest import HERE
from nn_train.config.options import is_entry_point
from nn_train.config.user_code import find_source
from nn_train.errors import RequestError
from nn_train.ray_cluster.serialization import pack

if TYPE_CHECKING:
    from nn_train.report.inputs.run_folders import RunFiles


def parcel_for(runs: Sequence[RunFiles], needed: Sequence[str] = (), sources: Sequence[str] = ()) -> bytes:
    """What those who predict need besides the files of the runs.

    Args:
        runs: finished.
        needed: sections whose functions are needed in any case; of the others what is there is sent: most models need
            no code of the user's.
        sources: names of further functions.

    Raises:
        RequestError: a module is not found, or a function was given to another process.
    """
    names = [*sources]
    for run in runs:
        for section, field in (("model", "name"), ("data", "source")):
            name = str((run.config.get(section) or {}).get(field))
            missing = why_missing(name, run.result) if is_entry_point(name) else ""
            if missing and section in needed:
                raise RequestError(f"{run.config.get('name')}: {section}.{field}: {missing}")
            if not missing:
                names.append(name)
    return pack(names)


def why_missing(name: str, result: dict[str, Any]) -> str:
    """What to say where the function of a run is not here; empty where it is.

    It is not looked up where it was when the run was trained: what a run's folder says would decide which code runs.
    """
    if name.startswith(f"{HERE}:"):
        try:
            kept(name)
        except RequestError as error:
            return str(error)
        return ""
    top = name.partition(":")[0].partition(".")[0]
    if find_source(top) is not None:
        return ""
    folders = (result.get("code") or {}).get("folders")
    was = f"it was in {' or '.join(folders)} when the run was trained. " if folders else ""
    return f"no module {top!r} here; {was}Start this in the folder that has it, or set PYTHONPATH to that"


def warn_of_changes(result: dict[str, Any], say: Callable[[str], None]) -> None:
    """Say which modules are not what a run was trained with: a model is opened with the code of now."""
    modules = (result.get("code") or {}).get("modules") or {}
    changed = [name for name, digest in modules.items() if is_other(name, digest)]
    if changed:
        say(
            f"warning: {', '.join(changed)} changed since the run was trained; its model is opened with the code of now"
        )


def is_other(name: str, digest: str) -> bool:
    """Return whether the module of this name that is here is another than the one with this SHA-256."""
    spec = None if name.startswith(f"{HERE}:") else find_source(name)
    if spec is None or spec.origin is None:
        return False
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest() != digest
