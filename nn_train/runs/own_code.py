"""Which code of the user's a job runs: digests of its modules, so that a changed one is noticed, and the commit."""

from __future__ import annotations

import ast
import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nn_train.config import Config
from nn_train.config.given import kept
from nn_train.config.given_digest import HERE, digest_of
from nn_train.config.options import is_entry_point
from nn_train.config.python_source import find_source, is_library, parsed_source
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder


def own_code(config: Config) -> dict[str, Any]:
    """What ``result.json`` says of the code: ``modules``, as ``own_modules`` gives them, the ``folders`` that they are
    looked up from, and the ``commit`` of the Git repository that the first is in, or None."""
    files: dict[str, Path] = {}
    modules = own_modules(config, files)
    folder = next((file.parent for file in files.values()), None)
    return {
        "modules": modules,
        "folders": sorted({str(folder_of(module, file)) for module, file in files.items()}),
        "commit": commit_of(folder) if folder is not None else None,
    }


def folder_of(module: str, file: Path) -> Path:
    """From where a module is looked up: ``/home/me`` for ``parts.block`` in ``/home/me/parts/block.py``."""
    above = len(module.split(".")) - (file.name != "__init__.py")
    return file.absolute().parents[above]


def own_modules(config: Config, files: dict[str, Path] | None = None) -> dict[str, str]:
    """SHA-256 of the modules of a job's own functions and of the own modules that these import, by module name.

    Of functions that are kept (``config/given.py``) those of their code, by their names. Own is what lies neither in
    Python's library nor among installed packages. What is imported under a name that is made while it runs is not
    found.
    """
    files = {} if files is None else files  # by module; filled here
    named = (config.model.name, config.data.source, config.data.augment, config.train.callbacks)
    functions = [name for name in named if name is not None and is_entry_point(name)]
    here = [(name, kept(name)) for name in functions if name.startswith(f"{HERE}:")]
    found = {name: digest_of(function) for name, function in here if function is not None}
    left = [name.partition(":")[0] for name in functions if not name.startswith(f"{HERE}:")]
    while left:
        module = left.pop()
        source = parsed_source(module) if module not in found else None
        if source is None or not is_own(source[0]):
            continue
        files[module] = Path(source[0])
        found[module] = hashlib.sha256(files[module].read_bytes()).hexdigest()
        left += imported(module, source[1])
    return dict(sorted(found.items()))


def is_own(file: str) -> bool:
    """Whether a file is the user's."""
    return Path(__file__).parents[1] not in Path(file).resolve().parents and not is_library(file)


def imported(module: str, tree: ast.Module) -> Iterator[str]:
    """The modules that a module may import, among names that are none; with the packages that they are in."""
    spec = find_source(module)
    is_package = spec is not None and spec.submodule_search_locations is not None
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            names = [start, *(f"{start}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def commit_of(folder: Path) -> str | None:
    """The commit that is checked out in a folder; None without Git or a repository."""
    try:
        asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() or None


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The modules that are not what they were. One that is found in one place only says nothing by itself: where it is
    new, or is imported no more, another has changed."""
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
    """With which code the one of this ``number``, counted from 0, was trained. ``code``: as ``note_code`` gives it."""
    of_before = [one for one in code.get("earlier", []) if number < one["until"]]
    found = of_before[0] if of_before else code
    return {name: one for name, one in found.items() if name not in ("earlier", "until")}
