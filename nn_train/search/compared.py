"""What the trials of a search are compared by: checked before anything starts."""

from __future__ import annotations

from nn_train.config import Config
from nn_train.config.schema import BUILT_IN_DATA, METRICS, parts_of
from nn_train.config.space import Space, samples
from nn_train.errors import RequestError


def check_metric(config: Config, space: Space) -> None:
    """``search.metric`` must be there to be had, and better in a known direction.

    In other trials than those that count it, it is missing, and they fail: nobody looks for that here.

    Raises:
        RequestError: there are no validation examples for it; its name is the job's own and does not say what is
            better.
    """
    metric = config.search.metric
    if config.data.validation_fraction == 0 and config.data.source in BUILT_IN_DATA:
        refuse_without_validation(config)  # other sources may have a part for it, which is known once they are read
    varied = [values[METRICS] for values in samples(METRICS, space)] if METRICS in space else [config.train.metrics]
    named = {parts_of(one)[1].get("name") for metrics in varied for one in metrics}
    if config.search.mode is None and metric.removeprefix("val_") in named:
        raise RequestError(
            f"search.mode: {metric} is a name of your own, which does not say what is better; give min or max"
        )


def refuse_without_validation(config: Config) -> None:
    """Of examples of which none are for validation: RequestError where these are what trials are compared by."""
    metric = config.search.metric
    if metric.startswith("val_"):
        raise RequestError(f"search.metric: {metric} needs validation examples; set data.validation_fraction")
