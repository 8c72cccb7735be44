"""The user's code that a job runs: digests of its modules, so that a changed one is noticed, and the commit."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from nn_train.config.entry_points import kept
from nn_train.config.function_digest import HERE, digest_of
from nn_train.config.user_code import files_of
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder


def own_code(functions: Collection[str]) -> dict[str, Any]:
    """Return what ``result.json`` says of the user's code.

    Args:
        functions: of a job, as it names them.

    Returns:
        ``modules``: SHA-256 of the modules of the job's functions and of the user's modules that these import, by name;
        of functions that are kept in this process that of their code. ``folders`` from which the modules are looked up.
        ``commit`` of the Git repository that the first one is in, or None.
    """
    here = {name: kept(name) for name in functions if name.startswith(f"{HERE}:")}
    files = files_of(name.partition(":")[0] for name in functions if name not in here)
    modules = {name: digest_of(function) for name, function in here.items() if function is not None}
    modules |= {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    # ``/home/me`` for ``parts.block`` in ``/home/me/parts/block.py``
    depths = {name: len(name.split(".")) - (file.name != "__init__.py") for name, file in files.items()}
    folders = sorted({str(file.absolute().parents[depths[name]]) for name, file in files.items()})
    commit = commit_of(next(iter(files.values())).parent) if files else None
    return {"modules": dict(sorted(modules.items())), "folders": folders, "commit": commit}


def commit_of(folder: Path) -> str | None:
    """Return the commit that is checked out in a folder; None without Git or a repository."""
    try:
        asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() or None


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the modules that are not what they were. One that is found in one place only says nothing by itself: where
    it is new, or is imported no more, another has changed."""
    return sorted(name for name in before.keys() & now.keys() if before[name] != now[name])


def note_code(code: Mapping[str, Any], folder: ResultsFolder, begun: int) -> tuple[dict[str, Any], list[str]]:
    """Note in ``code.json`` with which code a run or a search begins or goes on. By one process alone.

    Args:
        code: as ``own_code`` gives it.
        folder: of the run or search.
        begun: epochs that the run has begun before; trials of the search that have ended.

    Returns:
        What ``result.json`` says: ``code``, and as ``earlier`` what those before were trained with, each with the last
        of these as ``until``. And which modules have changed.
    """
    if not code.get("modules"):
        return dict(code), []
    noted: dict[str, Any] = folder.read_json(layout.CODE) or {}
    others = changed(noted.get("modules", {}), code["modules"]) if begun else []
    earlier = list(noted.get("earlier", [])) if begun else []
    if others:
        earlier.append({**{name: one for name, one in noted.items() if name != "earlier"}, "until": begun})
    now = {**code, **({"earlier": earlier} if earlier else {})}
    if now != noted:
        folder.write_json(layout.CODE, now)
    return now, others


def code_of(code: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return with which code the one of this ``number``, from 0, was trained. ``code``: as ``note_code`` gives it."""
    of_before = [one for one in code.get("earlier", []) if number < one["until"]]
    found = of_before[0] if of_before else code
    return {name: one for name, one in found.items() if name not in ("earlier", "until")}
