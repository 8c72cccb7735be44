"""Which trials go on: Ray Tune's schedulers, by the names of ``search.scheduler``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from nn_train.config import Config
from nn_train.config.space import LISTS, WHOLE, Domain
from nn_train.errors import RequestError
from nn_train.search.algorithms import to_tune
from nn_train.search.hyperband import HyperBand

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController

SETTABLE = (  # what can change in a trial that keeps its weights
    "optimizer.learning_rate",
    "optimizer.decay_steps",
    "optimizer.decay_rate",
    "model.dropout",
    "model.l2",
    "train.batch_size",
)


class AmongLive:
    """Chooses the next trial in Ray Tune's order, but only looks at those that have not ended.

    Tune's own choice goes through all trials at every event: with 10,000 of them the last tenth took 1.3 times
    as long as the second.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        live = sorted(tune_controller.get_live_trials(), key=lambda trial: trial.config["trial"])
        for status in (Trial.PENDING, Trial.PAUSED):
            for trial in live:
                if trial.status == status:
                    return trial
        return None


class Fifo(AmongLive, FIFOScheduler):
    """Every trial runs to its end."""


class Asha(AmongLive, AsyncHyperBandScheduler):
    """Asynchronous successive halving."""


class Median(AmongLive, MedianStoppingRule):
    """Stops what is worse than the median of the others."""


class Population(PopulationBasedTraining):
    """Population-based training in which a trial that takes over another's numbers keeps its own name.

    Attributes:
        reached: trials of an earlier session that go on, by name: the metric after each of their epochs.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.reached: dict[str, list[float]] = {}

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Others are compared with what the trial had reached, also before it runs again."""
        super().on_trial_add(tune_controller, trial)
        values = self.reached.pop(trial.config["trial"], [])
        compared = len(values) - len(values) % self._perturbation_interval
        if compared:
            state = self._trial_state[trial]
            state.last_score = self._metric_op * values[compared - 1]
            state.last_train_time = compared
            # Where it was compared with its last epoch, it is again when it tells of it: Tune has none of its
            # checkpoints that others could take over.
            state.last_perturbation_time = compared - (self._perturbation_interval if compared == len(values) else 0)

    def _get_new_config(self, trial: Trial, trial_to_clone: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        config, operations = super()._get_new_config(trial, trial_to_clone)
        return {**config, "trial": trial.config["trial"]}, operations


def make_scheduler(config: Config, domains: dict[str, Domain]) -> TrialScheduler:
    """The scheduler of a search, which compares the results' ``value`` by their ``epoch``.

    Raises:
        RequestError: population-based training is to change what makes a model another one.
    """
    search, epochs = config.search, config.train.epochs
    grace = min(search.grace_epochs, epochs)
    compared = {"time_attr": "epoch", "metric": "value", "mode": "min" if search.lower_is_better else "max"}
    if search.scheduler == "asha":
        factor = search.reduction_factor
        return Asha(**compared, max_t=epochs, grace_period=grace, reduction_factor=factor)
    if search.scheduler == "hyperband":
        return HyperBand(**compared, max_t=epochs, reduction_factor=search.reduction_factor)
    if search.scheduler == "median":
        return Median(**compared, grace_period=grace, min_samples_required=3)
    if search.scheduler == "pbt":
        check_population(domains)
        return Population(
            **compared,
            perturbation_interval=grace,
            hyperparam_mutations={"draws": {name: mutations_of(domain) for name, domain in domains.items()}},
            custom_explore_fn=lambda point: {**point, "draws": inside(point["draws"], domains)},
            log_config=False,
        )
    return Fifo()


def check_population(domains: dict[str, Domain]) -> None:
    """Raise RequestError for fields that a trial cannot change while it keeps its weights."""
    for name in domains:
        if name.split("|")[0] not in SETTABLE:
            raise RequestError(
                f"search.space.{name}: population-based training copies weights between trials, so it can vary only "
                f"{', '.join(SETTABLE)}"
            )


def mutations_of(domain: Domain) -> Any:
    """How Ray Tune changes a value: of a list to a neighbour in it, else by a factor. It may also draw anew."""
    if domain.kind not in LISTS:
        return to_tune(domain)
    are_numbers = all(isinstance(value, int | float) for value in domain.values)
    return sorted(domain.values) if are_numbers else list(domain.values)


def inside(draws: dict[str, Any], domains: dict[str, Domain]) -> dict[str, Any]:
    """Perturbed draws brought back into the space: into their ranges, and onto their steps."""

    def bring(value: Any, domain: Domain) -> Any:
        if domain.kind in LISTS:
            return value
        if domain.kind == "quantized":  # the same multiples as Ray Tune draws, to the bit
            low, high, step = domain.values
            return min(max(round(value / step), round(low / step)), round(high / step)) * step
        low, high = domain.values
        return min(max(round(value) if domain.kind in WHOLE else value, low), high)

    return {name: bring(value, domains[name]) for name, value in draws.items()}


def replay(scheduler: TrialScheduler, values: list[list[float]]) -> None:
    """Let ASHA and the median rule know trials of an earlier session: what each reached, epoch by epoch."""
    if not isinstance(scheduler, AsyncHyperBandScheduler | MedianStoppingRule):
        return
    for number, reached in enumerate(values):
        trial = Trial("earlier", trial_id=f"earlier{number:05d}", stub=True)
        scheduler.on_trial_add(None, trial)
        for epoch, value in enumerate(reached, start=1):
            result = {"epoch": epoch, "value": value}
            if isinstance(scheduler, AsyncHyperBandScheduler):
                scheduler.on_trial_result(None, trial, result)
            else:
                scheduler.on_trial_complete(None, trial, result)  # which only takes the result down
