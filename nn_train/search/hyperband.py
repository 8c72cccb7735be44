"""HyperBand that goes on after a kill: its brackets are what they were, from what trials had reached at their rungs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import HyperBandScheduler, TrialScheduler

from nn_train.search.journal import COMPLETED

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


@dataclass(frozen=True)
class Earlier:
    """A trial of a search that goes on, as far as it is known.

    Attributes:
        point: what Tune knows of it: its name ``trial`` and ``draws``.
        values: the metric after each epoch, as schedulers see it.
        rows: its epochs; of one that has not ended, until its last rung.
        status: how it ended, as in the journal; empty: it has not.
    """

    point: dict[str, Any]
    values: list[float]
    rows: list[dict[str, Any]]
    status: str = ""


class HyperBand(HyperBandScheduler):
    """Ray Tune's HyperBand. It says what a trial has reached at a rung before anything follows from it.

    Attributes:
        at_rung: called with a trial and its result at every rung; when it returns, that is kept.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.at_rung: Callable[[Trial, dict[str, Any]], None] = lambda trial, result: None
        self.places: dict[str, Trial] = {}  # whose place in its bracket a trial takes, by its name

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune writes it down for a restore that is not used

    def on_trial_add(self, tune_controller: TuneController | Stage, trial: Trial) -> None:
        """A trial that is known takes the place that it had; one that was paused stays so."""
        if trial in self._trial_info:  # it was lost, and comes again
            self._trial_info[trial][0]._live_trials[trial] = None
            return
        known = self.places.pop(trial.config.get("trial"), None)
        if known is None:
            super().on_trial_add(tune_controller, trial)
            return
        bracket, _ = self._trial_info[trial] = self._trial_info.pop(known)
        live = bracket._live_trials.items()
        bracket._live_trials = {trial if one is known else one: result for one, result in live}
        if known.status == Trial.PAUSED:
            trial.set_status(Trial.PAUSED)
            trial.init_local_path()  # Tune asks for it at the end; a trial that is cut off here never starts
            trial.run_metadata.last_result = known.last_result

    def on_trial_error(self, tune_controller: TuneController | Stage, trial: Trial) -> None:
        """A trial that Tune will run again keeps its place: in another bracket it would have other rivals."""
        if trial.status != Trial.ERROR:
            super().on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: TuneController | Stage, trial: Trial, result: dict[str, Any]) -> str:
        bracket, _ = self._trial_info[trial]
        if result["epoch"] >= bracket._cumul_r:
            self.at_rung(trial, result)
        return super().on_trial_result(tune_controller, trial, result)

    def _process_bracket(self, tune_controller: TuneController | Stage, bracket: Any) -> str:
        action = super()._process_bracket(tune_controller, bracket)
        bracket.is_being_processed = False  # else those that wait for a trial that fails later would wait forever
        return action

    def waiting(self) -> set[str]:
        """The names of trials that take a place in which they wait for their rivals."""
        return {name for name, known in self.places.items() if known.status == Trial.PAUSED}


def replay(scheduler: HyperBand, earlier: Sequence[Earlier]) -> list[Earlier]:
    """Let a new scheduler decide again what was decided before.

    Every cut that anything followed from had all its results at hand, and is made again as it was.

    Args:
        earlier: all trials of the brackets, in the order in which they were added.

    Returns:
        Those that are cut off, of which the journal does not know it yet.
    """
    stage = Stage(scheduler)
    trials = [stage.enter(one) for one in earlier]
    pairs = list(zip(earlier, trials, strict=True))
    # Epoch by epoch: a trial beyond a rung has had all its rivals there.
    for epoch in range(1, max((len(one.values) for one in earlier), default=0) + 2):
        for one, trial in pairs:
            if trial.status == Trial.RUNNING:
                stage.tell(one, trial, epoch)
        stage.wake(trials)
    for one, trial in pairs:
        if one.status and trial.status != Trial.TERMINATED:
            stage.end(trial)
    stage.wake(trials)
    going_on = [(one, trial) for one, trial in pairs if not one.status]
    scheduler.places = {one.point["trial"]: trial for one, trial in going_on if trial.status != Trial.TERMINATED}
    return [one for one, trial in going_on if trial.status == Trial.TERMINATED]


class Stage:
    """Stands in for Tune's controller, with trials that are not run."""

    def __init__(self, scheduler: HyperBand) -> None:
        self.scheduler = scheduler

    def enter(self, one: Earlier) -> Trial:
        trial = Trial("earlier", config=one.point, trial_id=one.point["trial"], stub=True)
        trial.set_status(Trial.RUNNING)
        trial.run_metadata.last_result = {"rows": one.rows}
        self.scheduler.on_trial_add(self, trial)
        return trial

    def tell(self, one: Earlier, trial: Trial, epoch: int) -> None:
        """The result of an epoch, or that it ended. Of its last epoch, one that completed told no scheduler."""
        told = len(one.values) - (one.status == COMPLETED)
        if epoch <= told:
            result = {"epoch": epoch, "value": one.values[epoch - 1]}
            decision = self.scheduler.on_trial_result(self, trial, result)
            if decision == TrialScheduler.PAUSE:
                trial.set_status(Trial.PAUSED)
            elif decision == TrialScheduler.STOP:
                self.end(trial)
        elif one.status:
            self.end(trial)

    def end(self, trial: Trial) -> None:
        trial.set_status(Trial.TERMINATED)
        self.scheduler.on_trial_complete(self, trial, {})

    def stop_trial(self, trial: Trial) -> None:
        """What the scheduler asks of Tune for a trial that is paused."""
        self.end(trial)

    def wake(self, trials: list[Trial]) -> None:
        """Let those run that a cut has let go on."""
        for trial in trials:
            bracket, _ = self.scheduler._trial_info[trial]
            if trial.status == Trial.PAUSED and trial in bracket.trials_to_unpause:
                trial.set_status(Trial.RUNNING)
