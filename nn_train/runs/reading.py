"""Data that are read by rows while a run trains: how much was read, and whether they are still those it began with."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_train.datasets.known_again import TEST, VALIDATION, changed_names
from nn_train.errors import RequestError
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder

if TYPE_CHECKING:
    from nn_train.engine.loop import Loop


OTHERS = (
    "data.source: {what} are others than when it began, and some may have been trained on; let the function give those "
    "of then. One that draws them must do so from a generator that it makes with a seed (np.random.default_rng(0)); "
    "then begin anew, with another --name, or --run.overwrite true"
)


class Reading:
    """What this process reads from now on.

    Args:
        loop: whose steps wait for what is read.
        epochs: that are behind.
    """

    def __init__(self, loop: Loop, epochs: int) -> None:
        self.loop, self.epochs, self.bytes = loop, epochs, bytes_read()

    def record(self, epochs: int) -> dict[str, Any] | None:
        """For ``result.json``, after so many epochs in all; None where nothing is read by rows. Collective.

        Bytes are those that the kernel counted for the workers' processes, whatever they read. A process that took over
        from another knows nothing of what that one read, so ``epochs`` says for how many epochs the numbers are.
        """
        if self.loop.indexed is None:
            return None
        from nn_train.engine.collectives import sum_over_all

        now, replicas = bytes_read(), self.loop.replicas
        own = [0.0, 0.0] if now is None or self.bytes is None else [float(now - self.bytes), 1.0]
        own.append(self.loop.indexed.waited)
        count, known, waited = sum_over_all(own, replicas)
        return {
            "bytes": int(count) if known == replicas.size else None,
            "seconds_waited": round(waited / replicas.size, 3),
            "workers": replicas.size,
            "epochs": epochs - self.epochs,
        }


def bytes_read() -> int | None:
    """What this process has read, of files and pipes; None where the kernel does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/io").read_text().splitlines():
            if line.startswith("rchar: "):
                return int(line.partition(": ")[2])
    return None


def note_data(folder: ResultsFolder, known: Mapping[str, str], anew: bool = False) -> None:
    """Note in the folder of a run or a search by what its data are ``known`` again (``known_again.py``).

    Args:
        anew: whatever was noted before.

    Raises:
        RequestError: it was begun with others.
    """
    if not known and not (anew and folder.exists(layout.DATA)):
        return
    noted: dict[str, str] | None = None if anew else folder.read_json(layout.DATA)
    if noted is None:
        folder.write_json(layout.DATA, dict(known))
        return
    changed = changed_names(noted, known)
    if changed and changed[0] in (VALIDATION, TEST):
        raise RequestError(OTHERS.format(what=" and ".join(changed)))
    if changed:
        name = changed[0]
        raise RequestError(
            f"data.source: {', '.join(changed)} changed since the run began ({name}: {noted.get(name)}; now "
            f"{known[name]}); put it back as it was, give another --name, or --run.overwrite true"
        )
