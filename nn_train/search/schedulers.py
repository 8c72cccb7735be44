"""Which trials go on: Ray Tune's schedulers, by the names of ``search.scheduler``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from nn_train.config import Config
from nn_train.config.space import LISTS, WHOLE, Domain
from nn_train.errors import RequestError
from nn_train.search.algorithms import to_tune

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

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
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


class HyperBand(HyperBandScheduler):
    """Brackets of trials, in which trials wait at a rung for their rivals."""

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Compare again where all trials wait: after its first cut a bracket ignores that a rival failed."""
        chosen = super().choose_trial_to_run(tune_controller)
        live = list(tune_controller.get_live_trials())
        if any(trial.status != Trial.PAUSED for trial in live):
            return chosen
        for trial in live:
            if chosen is None and trial.status == Trial.PAUSED:
                self.on_trial_result(tune_controller, trial, trial.last_result)
                chosen = super().choose_trial_to_run(tune_controller)
        return chosen


class Population(PopulationBasedTraining):
    """Population-based training in which a trial that takes over another's numbers keeps its own name."""

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        name = trial.config["trial"]
        decision = super().on_trial_result(tune_controller, trial, result)
        trial.set_config({**trial.config, "trial": name})
        return decision


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
