"""The training of one trial: what is kept of it, so that it can go on in another process."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from nn_train.config import Config
from nn_train.runs.epochs import Training
from nn_train.runs.history import best_epoch
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import CHECKPOINTS

if TYPE_CHECKING:
    from nn_train.datasets import SplitData
    from nn_train.engine.loop import Loop
    from nn_train.runs.checkpoints import Checkpoint
    from nn_train.runs.given_callbacks import GivenCallbacks

BEST = "best.weights"
STANDING = "standing.json"  # of a trial under way: its checkpoint, the numbers it was trained with, its epochs
CHECKPOINT_SECONDS = 30.0  # a lost trial repeats at most this much


class TrialTraining(Training):
    """A training of which the weights of the best epoch are kept, and now and then the whole state.

    The file ``standing.json`` says which checkpoint counts. It is written last: whenever the process is killed,
    numbers, epochs and weights belong together.
    """

    def __init__(
        self,
        config: Config,
        data: SplitData,
        loop: Loop,
        given: GivenCallbacks,
        folder: ResultsFolder,
        values: dict[str, Any],
        draws: dict[str, Any] | None,
    ) -> None:
        super().__init__(config, data, loop, given, folder.location)
        self.folder, self.values, self.draws = folder, values, draws
        self.kept_at = time.monotonic()

    def keep_model(self) -> None:
        from nn_train.runs import checkpoints

        if best_epoch(self.history) == len(self.history):
            self.folder.write(BEST, checkpoints.pack(self.model.weights, self.history))

    def keep_state(self) -> None:
        if time.monotonic() - self.kept_at > CHECKPOINT_SECONDS and not self.complete:
            self.keep(self.state())

    def state(self) -> bytes:
        """The whole state between two epochs."""
        from nn_train.runs import checkpoints

        variables, memories = checkpoints.state_variables(self.model), self.callbacks.memories()
        return checkpoints.pack(variables, self.history, memories=memories)

    def keep(self, state: bytes) -> None:
        """Go on from this ``state`` in another process, should this one be killed."""
        earlier = self.folder.names(CHECKPOINTS)
        # A trial that took over another's weights may be at an epoch where it was before.
        name = f"epoch-{len(self.history):06d}-{secrets.token_hex(4)}.ckpt"
        self.folder.write(f"{CHECKPOINTS}/{name}", state)
        numbers = {"values": self.values, "draws": self.draws}
        self.folder.write_json(STANDING, {"checkpoint": name, **numbers, "rows": self.history})
        for one in earlier:
            self.folder.delete(f"{CHECKPOINTS}/{one}")
        self.kept_at = time.monotonic()


def kept_checkpoint(folder: ResultsFolder, values: dict[str, Any]) -> Checkpoint | None:
    """What a trial that sets ``values`` goes on from. None: nothing, it is damaged or of other values."""
    from nn_train.runs import checkpoints

    standing = folder.read_json(STANDING)
    if standing is None or standing["values"] != values:
        return None
    try:
        return checkpoints.unpack(folder.read(f"{CHECKPOINTS}/{standing['checkpoint']}"))
    except FileNotFoundError:  # somebody deleted it
        return None
