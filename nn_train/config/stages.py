"""The settings of the jobs that run more than one training: a search, and a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nn_train.config.options import Section, option
from nn_train.errors import RequestError

# In the names of metrics of which less is better; and their last words, which Keras takes for such, or everybody does.
LOWER = ("loss", "error", "crossentropy", "divergence", "hinge", "poisson", "logcosh", "false_", "perplexity")
LOWER_WORDS = {"mse", "mae", "mape", "msle", "rmse", "rmsle", "nrmse", "smape", "mase", "crps", "kld", "kl", "nll"}
LOWER_WORDS |= {"bce", "cce", "brier", "ece", "deviance", "fpr", "fnr", "eer", "wer", "cer"}


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Section):
    """What jobs.tune varies, how it chooses, and when it stops."""

    space: Mapping[str, Any] = option({}, "field: {kind: values}; see docs/tune.md")
    algorithm: str = option(
        "random",
        "random, grid, a sampler of Optuna (tpe, cmaes, qmc, nsgaii), or module:function that returns one",
        choices=("random", "grid", "tpe", "cmaes", "qmc", "nsgaii"),
        entry_point=True,
    )
    scheduler: str = option(
        "asha", "which trials to stop early", choices=("none", "asha", "hyperband", "median", "pbt")
    )
    num_trials: int = option(20, "trials in all; grid: every combination", minimum=1)
    metric: str = option("val_accuracy", "what is compared: a name in metrics.jsonl, at a trial's best epoch")
    mode: str | None = option(
        None, "max or min; none: min for loss, error, mae and the like in its name, else max", choices=("max", "min")
    )
    grace_epochs: int = option(1, "epochs before a trial can be stopped; pbt: between exchanges", minimum=1)
    reduction_factor: int = option(4, "asha, hyperband: one of this many trials goes on at each rung", minimum=2)
    time_budget: float | None = option(None, "seconds after which no further epoch is started", above=0)
    target: float | None = option(None, "value of the metric at which the search ends")
    max_failed_trials: int | None = option(None, "failed trials at which the search ends", minimum=1)
    max_concurrent: int | None = option(None, "trials at a time; none: as many as fit the cluster", minimum=1)
    keep_best: int = option(3, "models that are kept", minimum=0)
    reuse_graph: bool = option(
        False,
        "trials of your model function share a traced graph: promises that the model depends on its arguments and the "
        "config alone; see docs/tune.md",
    )
    confirm: Mapping[str, Any] | None = option(
        None, "{top: 3, seeds: 3}: train the best again with other seeds and choose on the mean"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.confirm is not None:
            numbers = [self.confirm.get(key) for key in ("top", "seeds")]
            whole = all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in numbers)
            if set(self.confirm) != {"top", "seeds"} or not whole:
                raise RequestError(f"search.confirm: {dict(self.confirm)!r} is not written as {{top: 3, seeds: 3}}")

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric is minimised."""
        if self.mode is not None:
            return self.mode == "min"
        words = [word for word in self.metric.lower().split("_") if not word.isdigit()]
        is_lower = any(part in self.metric.lower() for part in LOWER) or (bool(words) and words[-1] in LOWER_WORDS)
        return is_lower != ("neg" in words or "negative" in words)


@dataclass(frozen=True, kw_only=True)
class PipelineConfig(Section):
    """What jobs.pipeline runs: a search for each model, trainings with the best settings, and one report."""

    models: Mapping[str, Any] = option({}, "name: {section: {field: value}}, what differs for each model")
    seeds: int = option(3, "trainings of each model, with seed, seed + 1, …", minimum=1)
    workers_per_trial: int = option(1, "worker processes of a trial of the search", minimum=1)
    quick: Mapping[str, Any] = option({}, "{section: {field: value}}, what --quick changes for every model")
