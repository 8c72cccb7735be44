"""What the trials of a search are compared by: checked before anything starts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nn_train.config import Config
from nn_train.config.schema import BUILT_IN_DATA, METRICS, Metric, parts_of
from nn_train.config.space import Space, samples, with_values
from nn_train.engine.keras_names import column_of
from nn_train.errors import RequestError


def check_metric(config: Config, space: Space) -> None:
    """``search.metric`` must be one thing in all trials, there to be had, and better in a known direction.

    Raises:
        RequestError: there are no validation examples for it; its name is the job's own and does not say what is
            better; ``train.metrics`` varies, and not every choice counts it, or not in the same way.
    """
    metric = config.search.metric
    if config.data.validation_fraction == 0 and config.data.source in BUILT_IN_DATA:
        refuse_without_validation(config)  # other sources may have a part for it, which is known once they are read
    choices = list(metrics_of_trials(config, space))
    named = {parts_of(one)[1].get("name") for chosen in choices for one in chosen}
    if config.search.mode is None and metric.removeprefix("val_") in named:
        raise RequestError(
            f"search.mode: {metric} is a name of your own, which does not say what is better; give min or max"
        )
    counted = {counted_as(metric, chosen) for chosen in choices}
    if len(counted) > 1:
        ways = ", ".join(sorted(str(one or "nothing of that name") for one in counted))
        raise RequestError(
            f"search.space.{METRICS}: trials are compared by search.metric, {metric}, which is not the same in all of "
            f"them ({ways}); name that metric in the same way in each choice, or compare by another"
        )


def refuse_without_validation(config: Config) -> None:
    """Of examples of which none are for validation: RequestError where these are what trials are compared by."""
    metric = config.search.metric
    if metric.startswith("val_"):
        raise RequestError(f"search.metric: {metric} needs validation examples; set data.validation_fraction")


def metrics_of_trials(config: Config, space: Space) -> Iterator[tuple[Metric, ...]]:
    """``train.metrics`` of each kind of trial."""
    if METRICS not in space:
        yield config.train.metrics
    else:
        yield from (with_values(config, values).train.metrics for values in samples(METRICS, space))


def counted_as(metric: str, chosen: tuple[Metric, ...]) -> Metric | None:
    """Which of the metrics a column of the rows comes from, perhaps one of its numbers for each class."""
    column = metric.removeprefix("val_")
    columns = {column_of(one): one for one in chosen}
    return columns.get(column, columns.get(re.sub(r"_\d+$", "", column)))
