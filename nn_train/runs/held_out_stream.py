"""Whether the validation examples of a stream are those that the run began with; known when they have been read."""

from __future__ import annotations

from nn_train.datasets.known_again import VALIDATION
from nn_train.errors import RequestError
from nn_train.runs.reading import OTHERS
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder

IN_EACH_PASS = (
    "data.source: the validation targets were others in this epoch than in the one before. If training and validation "
    "are parts of one shuffled dataset (take, skip), it is cut anew in each epoch, and examples that are validated on "
    "have been trained on: shuffle with reshuffle_each_iteration=False"
)


class HeldOutStream:
    """The validation targets of one run in this process.

    Args:
        folder: of the run. What an earlier process noted there is read at once.
    """

    def __init__(self, folder: ResultsFolder) -> None:
        self.folder = folder
        self.noted: str | None = (folder.read_json(layout.DATA) or {}).get(VALIDATION)
        self.last: str | None = None
        self.passes, self.differ = 0, False

    def look_at(self, mark: int | None) -> list[str]:
        """After each epoch; ``mark`` is ``Loop.held_out``. Returns a warning where these are others than in the epoch
        before, once. All workers do alike.

        Raises:
            RequestError: the first are others than in the process before.
        """
        if mark is None:
            return []
        before, self.last = self.last, str(mark)
        self.passes += 1
        if before is None and self.noted not in (None, self.last):
            raise RequestError(OTHERS.format(what=VALIDATION))
        if before in (None, self.last) or self.differ:
            return []
        self.differ = True
        return [IN_EACH_PASS]

    def keep(self) -> None:
        """Note them for the processes to come, where two passes had the same. Chief only."""
        if self.noted is None and self.passes == 2 and not self.differ:
            self.folder.write_json(layout.DATA, {**(self.folder.read_json(layout.DATA) or {}), VALIDATION: self.last})
