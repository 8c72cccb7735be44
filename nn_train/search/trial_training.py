"""The training of one trial: what is kept of it, so that it can go on in another process."""

from __future__ import annotations

import dataclasses
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from nn_train.config import Config
from nn_train.runs.epochs import Training
from nn_train.runs.record import best_epoch
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import CHECKPOINTS

if TYPE_CHECKING:
    from nn_train.datasets import SplitData
    from nn_train.engine.loop import Loop
    from nn_train.runs.callbacks import GivenCallbacks
    from nn_train.runs.checkpoints import Checkpoint

BEST = "best.weights"
STANDING = "standing.json"  # of a trial under way: its checkpoint, the numbers it was trained with, its epochs
CHECKPOINT_SECONDS = 30.0  # a lost trial repeats at most this much


class TrialTraining(Training):
    """A training of which the weights of the best epoch are kept, and now and then the whole state.

    The file ``standing.json`` says which checkpoint counts. It is written last: whenever the process is killed,
    numbers, epochs and weights belong together.

    Attributes:
        numbers: what was drawn for this trial, and the values that it is trained with from now on.
        trained_with: the same of each epoch so far: of a population's trials they change, and go with the weights.
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
        self.folder = folder
        # As it is read again: a list of now is not equal to a tuple.
        self.numbers: dict[str, Any] = json.loads(json.dumps({"values": values, "draws": draws}))
        self.trained_with: list[dict[str, Any]] = []
        self.kept_at = time.monotonic()

    def epoch(self) -> dict[str, Any]:
        row = super().epoch()
        self.trained_with.append(self.numbers)
        return row

    def of_best(self) -> dict[str, Any]:
        """For an ``Outcome``: the numbers of the best epoch, where they are others than now; whether it is mixed."""
        until_best = self.trained_with[: best_epoch(self.history)] if self.history else [self.numbers]
        mixed = any(one["values"] != until_best[-1]["values"] for one in until_best)
        return {"numbers": until_best[-1] if until_best[-1] != self.numbers else {}, "mixed": mixed}

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
        pairs = zip(self.history, self.trained_with, strict=True)
        return checkpoints.pack(variables, [{"row": row, **numbers} for row, numbers in pairs], memories=memories)

    def go_on_from(self, checkpoint: Checkpoint) -> list[str]:
        history = checkpoint.history
        if history and "row" not in history[0]:  # of an older version
            history = [{"row": row, **self.numbers} for row in history]
        said = super().go_on_from(dataclasses.replace(checkpoint, history=[one["row"] for one in history]))
        self.trained_with = [{name: one[name] for name in self.numbers} for one in history]
        return said

    def take_over(self, checkpoint: Checkpoint) -> None:
        """Go on from a ``Checkpoint`` of another trial. The random generators that dropout has stay this one's where
        only one of the two drops units."""
        import numpy as np

        from nn_train.engine.seeds import seed_states
        from nn_train.runs import checkpoints

        own, variables = checkpoints.state_variables(self.model), checkpoint.variables
        if len(variables) != len(own):
            alike = len(own) - len(seed_states(self.model))
            variables = [*variables[:alike], *(np.asarray(state.value) for state in own[alike:])]
        self.go_on_from(dataclasses.replace(checkpoint, variables=variables))

    def keep(self, state: bytes) -> None:
        """Go on from this ``state`` in another process, should this one be killed."""
        earlier = self.folder.names(CHECKPOINTS)
        # A trial that took over another's weights may be at an epoch where it was before.
        name = f"epoch-{len(self.history):06d}-{secrets.token_hex(4)}.ckpt"
        self.folder.write(f"{CHECKPOINTS}/{name}", state)
        self.folder.write_json(STANDING, {"checkpoint": name, **self.numbers, "rows": self.history})
        for one in earlier:
            self.folder.delete(f"{CHECKPOINTS}/{one}")
        self.kept_at = time.monotonic()


def kept_checkpoint(folder: ResultsFolder, values: dict[str, Any]) -> Checkpoint | None:
    """What a trial that sets ``values`` goes on from. None: nothing, it is damaged or of other values."""
    from nn_train.runs import checkpoints

    standing = folder.read_json(STANDING)
    if standing is None or standing["values"] != values:
        return None
    return checkpoints.unpack(folder.read(f"{CHECKPOINTS}/{standing['checkpoint']}"))
