"""One of the workers that run Keras' own tests together: ``install()`` first, then the tests that it is asked for.

It reads the name of a test a line, and answers each with ``passed``, ``skipped`` or ``failed``. The current folder is a
checkout of Keras. The workers share their temporary folders, as those of a cluster share a storage: the chief writes.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest


class Folder:
    """A ``TemporaryDirectory`` that stays."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *_: object) -> None:
        pass

    def cleanup(self) -> None:
        pass


class Result:
    """What became of the one test."""

    def __init__(self) -> None:
        self.outcome = "failed"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcome = report.outcome


def share_temporary_folders(base: Path) -> None:
    """The n-th folder that the tests themselves ask for is the same on all workers, and stays."""
    from nn_train.engine.fit.workers import join, told_by_chief

    numbers = itertools.count()
    erase, remove, make, temporary = os.remove, shutil.rmtree, tempfile.mkdtemp, tempfile.TemporaryDirectory

    def is_test() -> bool:
        return sys._getframe(2).f_globals["__name__"].endswith(("_test", "test_case"))

    def folder() -> str:
        path = base / str(next(numbers))
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    def mkdtemp(*args: Any, **named: Any) -> str:
        return folder() if is_test() else make(*args, **named)

    def in_place(*args: Any, **named: Any) -> Any:
        return Folder(folder()) if is_test() else temporary(*args, **named)

    def rmtree(*args: Any, **named: Any) -> None:
        if not sys._getframe(1).f_globals["__name__"].endswith("test_case"):
            remove(*args, **named)

    def remove_file(path: str, **named: Any) -> None:
        if not is_test():
            erase(path, **named)
        elif join().is_chief:
            told_by_chief(None, join())  # until the others have read it
            erase(path, **named)
        else:
            told_by_chief(None, join())

    os.remove, shutil.rmtree = remove_file, rmtree  # type: ignore[assignment]
    tempfile.mkdtemp, tempfile.TemporaryDirectory = mkdtemp, in_place  # type: ignore[assignment,misc]


def give_the_same_data() -> None:
    """Tests that seed NumPy from the operating system would draw other examples on each worker."""
    seed = np.random.seed
    np.random.seed = lambda given=None: seed(0 if given is None else given)  # type: ignore[assignment]


def look_on() -> None:
    """Assert nothing: only the chief's callbacks are called, so only there a test sees what they have seen."""
    from keras.src import testing

    for name in [name for name in dir(testing.TestCase) if name.startswith("assert") and "Raises" not in name]:
        setattr(testing.TestCase, name, lambda *_, **__: None)
    pytest.warns = lambda *_, **__: contextlib.nullcontext([])  # type: ignore[assignment]
    testing.TestCase.assertLogs = lambda *_, **__: contextlib.nullcontext(types.SimpleNamespace(output=[], records=[]))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import nn_train
    from nn_train.engine.fit.workers import join

    if os.environ.get("KERAS_OWN") is None:
        nn_train.install()
        if join().rank > 0:
            look_on()
    sys.modules.setdefault("jax", types.ModuleType("jax"))  # imported by tests of which none that runs needs it
    share_temporary_folders(Path(sys.argv[1]))
    give_the_same_data()
    for line in sys.stdin:
        result, said = Result(), io.StringIO()
        with contextlib.redirect_stdout(said):
            code = pytest.main(["-q", "-p", "no:cacheprovider", "--tb=short", "-x", line.strip()], plugins=[result])
        outcome = result.outcome if code == 0 else "failed"
        if outcome == "failed":
            print(f"=== {line.strip()}\n{said.getvalue()}", file=sys.stderr, flush=True)
        print(outcome, file=answers, flush=True)


if __name__ == "__main__":
    main()
