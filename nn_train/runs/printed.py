"""What a worker prints, kept in ``logs/`` of its run or trial: where it runs there is no terminal."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from nn_train.errors import StorageError
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import LOGS

LARGEST = 1_000_000  # letters that are kept, the last ones


class Printed:
    """What this process prints in Python, and warnings, but no lines of ``logging``; it goes on to where it went.

    Args:
        folder: of the run or trial. Each worker writes a file of its own there.
        rank: of the worker.
    """

    def __init__(self, folder: ResultsFolder, rank: int) -> None:
        self.folder = folder
        self.name, self.fresh = f"{LOGS}/worker-{rank}.txt", False
        self.pieces: list[str] = []
        self.size = 0  # letters of them
        self.has_before = False  # whether what earlier workers of this rank had printed is among them

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Within it what is printed is noted."""
        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (Tee(stream, self) for stream in streams)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams

    def note(self, text: str) -> None:
        self.pieces.append(text)
        self.size, self.fresh = self.size + len(text), True
        if self.size > 2 * LARGEST:
            self.cut()

    def cut(self) -> str:
        """The last of what was noted, which is all that is remembered."""
        text = "".join(self.pieces)[-LARGEST:]
        self.pieces, self.size = [text], len(text)
        return text

    def keep(self) -> None:
        """Write the file, if there is something new. The folder must have been begun.

        A storage that does not take it is no reason to end a training.
        """
        if not self.fresh:
            return
        folder = copy.copy(self.folder)  # as it is now: it may need a file without which nothing is written
        folder.patient = False  # a training does not wait for it
        with contextlib.suppress(StorageError, OSError):
            if not self.has_before and folder.exists(self.name):
                self.pieces.insert(0, folder.read(self.name).decode(errors="replace"))
            self.has_before, self.fresh = True, False
            folder.write(self.name, self.cut().encode(errors="replace"))


class Tee(io.TextIOBase):
    """A stream whose text is noted as well."""

    def __init__(self, stream: TextIO, printed: Printed) -> None:
        self.stream, self.printed = stream, printed

    def write(self, text: str) -> int:
        # Lines of logs are not noted: TensorFlow's and Ray's are many, and Ray Train logs what is printed once more.
        here = inspect.currentframe()
        caller = here.f_back if here is not None else None
        if caller is None or caller.f_globals.get("__name__") != "logging":
            self.printed.note(text)
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)  # what it is beyond: its encoding, its file
