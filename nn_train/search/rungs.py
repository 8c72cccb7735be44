"""Where ASHA compares trials. No Ray here."""

from __future__ import annotations

from nn_train.config import Config


def rungs(config: Config) -> tuple[int, ...]:
    """The epochs at which ASHA compares trials, the last epoch not among them; empty for other schedulers."""
    search, epochs = config.search, config.train.epochs
    if search.scheduler != "asha":
        return ()
    steps = []
    rung = search.grace_epochs
    while rung < epochs:
        steps.append(rung)
        rung *= search.reduction_factor
    return tuple(steps)
