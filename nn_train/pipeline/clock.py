"""How long a pipeline will still take, from what was measured so far."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from nn_train.events import Handler, StageStarted

# Seconds of an epoch of MNIST on one CPU, until the model's own are measured (Intel Xeon and AMD EPYC, 2 cores).
FIRST_GUESS = {"mlp": 0.5, "cnn": 10.0}
SPEED_UP = 0.8  # what a further worker adds: two train 1.8 times as fast as one
START = 7.0  # seconds until the workers of a stage are ready
TRACING = 2.5  # seconds to build and trace a model


@dataclass(frozen=True)
class Work:
    """A part of a stage.

    Attributes:
        model: whose epochs it takes, as in ``pipeline.models``.
        kind: the built-in model, or ``module:function``.
        epochs: as if one worker trained them one after another.
    """

    model: str
    kind: str
    epochs: float


# A run to evaluate and to draw takes about as long as four epochs of the MLP, whatever the model.
PREDICTION = Work("", "mlp", 4.0)


@dataclass(frozen=True)
class Stage:
    """One stage: its title, and the work that is left in it."""

    title: str
    work: Sequence[Work]


class Clock:
    """Says where a stage begins, and the seconds that are left.

    Args:
        stages: all, in their order.
        on_event: given ``StageStarted``.
    """

    def __init__(self, stages: Sequence[Stage], on_event: Handler) -> None:
        self.stages, self.on_event = stages, on_event
        self.begun = 0
        self.paces: dict[str, float] = {}
        self.kinds = {work.model: work.kind for stage in stages for work in stage.work}

    def begin(self) -> None:
        """The next stage begins."""
        stage, left = self.stages[self.begun], self.left()
        self.begun += 1
        self.on_event(StageStarted(stage.title, self.begun, len(self.stages), left))

    def learn(self, model: str, seconds: Sequence[float]) -> None:
        """Take what epochs of one worker of ``model`` took; the fastest, since others hold the tracing."""
        if seconds:
            self.paces[model] = min(seconds)

    def left(self) -> float | None:
        """Seconds for the stages that have not begun; None where nothing is known of a model."""
        seconds = 0.0
        for stage in self.stages[self.begun :]:
            seconds += START if stage.work else 0.0
            for work in stage.work:
                pace = self.pace(work)
                if pace is None:
                    return None
                seconds += TRACING + work.epochs * pace
        return seconds

    def pace(self, work: Work) -> float | None:
        """Seconds of an epoch of one worker: measured, or guessed from how fast this machine was with another."""
        if work.model in self.paces:
            return self.paces[work.model]
        guesses = {model: FIRST_GUESS.get(kind) for model, kind in self.kinds.items()}
        ratios = [pace / guess for model, pace in self.paces.items() if (guess := guesses.get(model))]
        guess = guesses[work.model]
        return None if guess is None else guess * (statistics.median(ratios) if ratios else 1.0)


def on_workers(epochs: float, workers: int) -> float:
    """What ``epochs`` on several workers take, counted in epochs of one worker."""
    return epochs / (1 + SPEED_UP * (workers - 1))
